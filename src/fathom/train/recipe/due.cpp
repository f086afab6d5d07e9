#include "fathom/train/recipe/due.h"

namespace fathom {
namespace {

bool reaches(const RunConfig& config, int64_t interval, int64_t step) {
  const int64_t n = config.sequences_per_step();
  return step == 0 || step * n / interval > (step - 1) * n / interval;
}

}  // namespace

bool evaluation_due(const RunConfig& config, int64_t step) {
  const TrainingConfig& t = config.training;
  if (t.validation_interval) return reaches(config, *t.validation_interval, step);
  return step % t.eval_interval == 0;
}

bool save_due(const RunConfig& config, int64_t step) {
  const std::optional<int64_t>& interval = config.training.save_interval;
  return interval ? reaches(config, *interval, step) : evaluation_due(config, step);
}

bool numbered_due(const RunConfig& config, int64_t step) {
  const std::optional<int64_t>& interval = config.training.checkpoint_interval;
  return interval && step > 0 && step % *interval == 0;
}

}  // namespace fathom
