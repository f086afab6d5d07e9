#include "fathom/train/recipe/due.h"

namespace fathom {
namespace {

bool reaches(int64_t interval, int64_t step, const Progress& p) {
  return step == 0 || p.samples / interval > p.samples_before / interval;
}

}  // namespace

bool evaluation_due(const RunConfig& config, int64_t step, const Progress& progress) {
  const TrainingConfig& t = config.training;
  if (t.validation_interval) return reaches(*t.validation_interval, step, progress);
  return step % t.eval_interval == 0;
}

bool save_due(const RunConfig& config, int64_t step, const Progress& progress) {
  const std::optional<int64_t>& interval = config.training.save_interval;
  return interval ? reaches(*interval, step, progress) : evaluation_due(config, step, progress);
}

bool numbered_due(const RunConfig& config, int64_t step) {
  const std::optional<int64_t>& interval = config.training.checkpoint_interval;
  return interval && step > 0 && step % *interval == 0;
}

bool sample_due(const TrainingConfig& config, int64_t step, int64_t steps) {
  constexpr int64_t kNotebookFirst = 50;
  const int64_t interval = sample_interval(config);
  if (interval == 0) return false;
  if (config.log_format == LogFormat::kNotebook)
    return step == 1 || step % interval == kNotebookFirst % interval ||
           (steps > 0 && step == steps - 1);
  return step > 0 && step % interval == 0;
}

bool last_sample_due(const TrainingConfig& config) {
  return sample_interval(config) > 0 && config.log_format != LogFormat::kNotebook;
}

bool log_due(int64_t log_interval, int64_t step) {
  return step % log_interval == 0 || step == 1;
}

}  // namespace fathom
