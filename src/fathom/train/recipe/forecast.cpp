// What of a stage is known before it is trained.
#include <algorithm>
#include <cmath>

#include "fathom/data/data_set.h"
#include "fathom/train/recipe/data_options.h"
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

// What one sequence has, on average.
struct Sequence {
  double samples = 1, tokens = 0;
  bool is_estimate = false;
};

// Of what is generated, by its first sequences.
double mean_tokens(const StageRun& stage, const Corpus& corpus) {
  constexpr int kLooked = 64;
  const auto data = make_data_set({corpus}, data_options(stage.config, "train", false));
  Cursor cursor = data->start();
  double tokens = 0;
  for (int i = 0; i < kLooked; ++i) {
    const Drawn drawn = data->next(cursor);
    cursor = drawn.after;
    tokens += static_cast<double>(drawn.batch.T);
  }
  return tokens / kLooked;
}

// Of rows that are continued as many tokens as there are, in parts of T at most.
Sequence sequence_of(const StageRun& stage) {
  const RunConfig& c = stage.config;
  const auto T = static_cast<double>(c.model.backbone.block_size);
  Sequence one = {1, T, false};
  double samples = 0, tokens = 0;
  for (const Corpus& corpus : stage.corpora) {
    if (corpus.is_generated()) {
      one.is_estimate = one.is_estimate || corpus.numbers()->stream_share < 1;
      samples += 1;
      tokens += mean_tokens(stage, corpus);
      continue;
    }
    if (!corpus.has_rows()) {
      samples += 1;
      tokens += T;
      continue;
    }
    one.is_estimate = true;
    const auto rows = static_cast<double>(corpus.rows("train")->size());
    const double mean = static_cast<double>(corpus.tokens("train")) / rows;
    const double sequences = c.data.pack_rows ? mean / T : std::max(mean / T, 1.0);
    const bool is_cut = c.data.long_rows == LongRows::kTrim && !c.data.pack_rows;
    samples += is_cut ? 1 : 1 / sequences;
    tokens += is_cut ? std::min(mean, T) : mean / sequences;
  }
  if (!one.is_estimate) return one;
  const auto parts = static_cast<double>(stage.corpora.size());
  return {samples / parts, tokens / parts, true};
}

std::optional<int64_t> steps_of(const StageRun& stage, const Sequence& one,
                                std::optional<int64_t> epoch) {
  const double amount = stage.budget.amount;
  const auto sequences = static_cast<double>(stage.config.sequences_per_step());
  // In the order of done(), whose rounding it has.
  const auto until = [&](double each, double all) {
    return first_step(amount * all / each,
                      [&](int64_t n) { return static_cast<double>(n) * each / all / amount >= 1; });
  };
  switch (stage.budget.unit) {
    case Budget::Unit::kSteps:
      return static_cast<int64_t>(amount);
    case Budget::Unit::kSamples:
      return until(sequences * one.samples, 1);
    case Budget::Unit::kTokens:
      return until(sequences * one.tokens, 1);
    case Budget::Unit::kMinutes:
      return std::nullopt;
    case Budget::Unit::kEpochs:
      break;
  }
  if (!epoch) return std::nullopt;
  return until(sequences * one.samples, static_cast<double>(*epoch));
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
  const Sequence one = sequence_of(stage);
  const bool is_counted = !stage.corpora.empty() || stage.budget.unit != Budget::Unit::kEpochs;
  if (is_counted) out.steps = steps_of(stage, one, out.epoch);
  out.is_estimate = one.is_estimate;
  const bool by_steps = stage.budget.unit == Budget::Unit::kSteps;
  out.first_rate =
      learning_rate_at(stage.config, 0, by_steps ? std::optional<double>() : std::optional(0.0));
  if (!stage.config.schedule.decay_lr) out.last_rate = out.first_rate;
  if (!out.steps) return out;
  const double tokens = static_cast<double>(*out.steps) * one.tokens *
                        static_cast<double>(stage.config.sequences_per_step());
  constexpr double kExact = 9007199254740992;
  if (tokens < kExact) out.tokens = static_cast<int64_t>(tokens);
  out.evaluations = evaluations_of(stage.config, *out.steps);
  const int64_t last = std::max<int64_t>(*out.steps - 1, 0);
  std::optional<double> done;  // before it
  if (!by_steps) done = static_cast<double>(last) / static_cast<double>(*out.steps);
  out.last_rate = learning_rate_at(stage.config, last, done);
  return out;
}

}  // namespace fathom
