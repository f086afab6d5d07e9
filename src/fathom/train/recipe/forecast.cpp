// What of a stage is known before it is trained.
#include <algorithm>
#include <cmath>

#include "fathom/data/data_set.h"
#include "fathom/train/recipe/schedule.h"
#include "fathom/train/recipe/stage_data.h"
#include "fathom/train/recipe/stage_runs.h"

namespace fathom {
namespace {

// The first step with which `reached(steps)` holds, near the guess.
template <class Reached>
int64_t first_step(double guess, const Reached& reached) {
  constexpr double kMost = 1e15;
  auto steps = static_cast<int64_t>(std::clamp(std::ceil(guess), 1.0, kMost));
  while (steps > 1 && reached(steps - 1)) --steps;
  while (!reached(steps) && static_cast<double>(steps) < kMost) ++steps;
  return steps;
}

std::optional<int64_t> steps_of(const StageRun& stage, std::optional<int64_t> epoch) {
  const double amount = stage.budget.amount;
  const auto per_step = [&](double each) {
    return first_step(amount / each,
                      [&](int64_t n) { return static_cast<double>(n) * each / amount >= 1; });
  };
  switch (stage.budget.unit) {
    case Budget::Unit::kSteps:
      return static_cast<int64_t>(amount);
    case Budget::Unit::kSamples:
      return per_step(static_cast<double>(stage.config.sequences_per_step()));
    case Budget::Unit::kTokens:
      return per_step(static_cast<double>(stage.config.tokens_per_step()));
    case Budget::Unit::kMinutes:
      return std::nullopt;
    case Budget::Unit::kEpochs:
      break;
  }
  if (!epoch) return std::nullopt;
  const auto each = static_cast<double>(stage.config.sequences_per_step());
  const auto all = static_cast<double>(*epoch);
  return first_step(amount * all / each,
                    [&](int64_t n) { return static_cast<double>(n) * each / all / amount >= 1; });
}

// Before the first step, whenever one is due (due.h), and after the last.
int64_t evaluations_of(const RunConfig& config, int64_t steps) {
  const TrainingConfig& t = config.training;
  const int64_t n = config.sequences_per_step();
  const auto due = [&](int64_t samples_or_steps, int64_t interval, int64_t each) {
    const int64_t so_far = samples_or_steps / interval;
    return each >= interval ? steps : so_far;
  };
  const bool counts_samples = t.validation_interval.has_value();
  const int64_t interval = counts_samples ? *t.validation_interval : t.eval_interval;
  const int64_t each = counts_samples ? n : 1;
  if (steps > INT64_MAX / std::max<int64_t>(each, 1)) return steps;
  const int64_t before_last = steps > 0 ? (steps - 1) * each / interval : 0;
  const bool is_last_due = steps * each / interval > before_last || steps == 0;
  return 1 + due(steps * each, interval, each) + (is_last_due ? 0 : 1);
}

}  // namespace

Forecast forecast(const StageRun& stage) {
  Forecast out;
  if (!stage.corpora.empty()) out.epoch = training_data(stage)->samples();
  const bool is_counted = !stage.corpora.empty() || stage.budget.unit != Budget::Unit::kEpochs;
  if (is_counted) out.steps = steps_of(stage, out.epoch);
  const bool by_steps = stage.budget.unit == Budget::Unit::kSteps;
  out.first_rate =
      learning_rate_at(stage.config, 0, by_steps ? std::optional<double>() : std::optional(0.0));
  if (!stage.config.schedule.decay_lr) out.last_rate = out.first_rate;
  if (!out.steps) return out;
  const int64_t tokens = stage.config.tokens_per_step();
  if (*out.steps <= INT64_MAX / tokens) out.tokens = *out.steps * tokens;
  out.evaluations = evaluations_of(stage.config, *out.steps);
  const int64_t last = std::max<int64_t>(*out.steps - 1, 0);
  std::optional<double> done;  // before it
  if (!by_steps) done = static_cast<double>(last) / static_cast<double>(*out.steps);
  out.last_rate = learning_rate_at(stage.config, last, done);
  return out;
}

}  // namespace fathom
