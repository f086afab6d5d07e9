#include "fathom/train/recipe/consequences.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "fathom/base/text.h"
#include "fathom/train/recipe/freeze.h"
#include "fathom/train/recipe/optimizer_rules.h"
#include "fathom/train/recipe/parameter_groups.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/schedule.h"

namespace fathom {
namespace {

bool differ(double a, double b) {
  constexpr double kRounding = 1e-9;
  return std::abs(a - b) > kRounding * std::max(std::abs(a), std::abs(b));
}

// Where the decay ends; 0: nothing decays.
int64_t end_of_decay(const RunConfig& c) {
  return c.schedule.decay_lr ? c.schedule.lr_decay_iters.value_or(c.training.max_iters) : 0;
}

bool has_other_optimizer(const RunConfig& before, const RunConfig& after) {
  return before.optimizer.optimizer != after.optimizer.optimizer;
}

void add_optimizer(const RunConfig& before, const RunConfig& after, std::vector<std::string>& out) {
  if (has_other_optimizer(before, after))
    out.push_back(fmt::format(
        "the optimiser is {} in place of {}: it begins anew, as with --ignore_optimizer",
        optimizer_rule(after.optimizer.optimizer).title,
        optimizer_rule(before.optimizer.optimizer).title));
}

// A step that is still to be made.
void add_learning_rate(const RunConfig& before, const RunConfig& after, int64_t step,
                       const Standing& at, std::vector<std::string>& out) {
  const auto rate = [&](const RunConfig& c, int64_t made) {
    return learning_rate_at(c, step, at.done) * optimizer_warmup(c.optimizer, made);
  };
  const int64_t updates = at.updates.value_or(step);
  const double was = rate(before, updates);
  const bool begins_anew = at.new_optimizer || has_other_optimizer(before, after);
  const double is = rate(after, begins_anew ? 0 : updates);
  const bool is_over = at.done ? *at.done >= 1 : step >= after.training.max_iters;
  if (is_over || !differ(was, is)) return;
  std::string line =
      fmt::format("the learning rate of the next step is {:.1e} in place of {:.1e}", is, was);
  const int64_t end = end_of_decay(after), old_end = end_of_decay(before);
  RunConfig by_end = before;
  by_end.schedule.lr_decay_iters = end;
  if (!at.done && end > 0 && old_end > 0 && differ(rate(by_end, updates), was))
    line += fmt::format(": its decay ends at step {} in place of {}", with_commas(end),
                        with_commas(old_end));
  out.push_back(line);
}

// Tensors that are trained from here on.
void add_thawed(const RunConfig& before, const RunConfig& after, int64_t step, int64_t was_at,
                std::vector<std::string>& out) {
  OptimizerConfig a = before.optimizer, b = after.optimizer;
  settle_own_freeze(before.model, a);
  settle_own_freeze(after.model, b);
  const auto says = [](const OptimizerConfig& c) {
    return std::tie(c.default_freeze, c.freeze, c.unfreeze, c.parameter_groups, c.own_freeze,
                    c.own_unfreeze, c.own_groups);
  };
  if (says(a) == says(b)) return;
  const std::vector<ParameterSpec> table = parameter_table(after.model, /*vocab_size=*/2);
  const std::vector<ParameterSetting> was = parameter_settings(a, table),
                                      is = parameter_settings(b, table);
  int64_t thawed = 0;
  for (size_t i = 0; i < table.size(); ++i)
    thawed += was[i].frozen_at(was_at) && !is[i].frozen_at(step);
  if (thawed > 0)
    out.push_back(
        fmt::format("{} that {} frozen {} trained from here on: the moments begin at zero",
                    thawed == 1 ? "one tensor" : fmt::format("{} tensors", thawed),
                    thawed == 1 ? "was" : "were", thawed == 1 ? "is" : "are"));
}

}  // namespace

std::vector<std::string> consequences(const RunConfig& before, const RunConfig& after, int64_t step,
                                      const Standing& at) {
  std::vector<std::string> out;
  add_optimizer(before, after, out);
  add_learning_rate(before, after, step, at, out);
  add_thawed(before, after, step, at.was_at.value_or(step), out);
  const int64_t tokens = after.tokens_per_step(), old_tokens = before.tokens_per_step();
  if (tokens != old_tokens)
    out.push_back(fmt::format("a step has {} tokens in place of {}", with_commas(tokens),
                              with_commas(old_tokens)));
  const int64_t pass = after.micro_batch_size(), old_pass = before.micro_batch_size();
  if (pass != old_pass && tokens == old_tokens)
    out.push_back(fmt::format(
        "a forward pass has {} sequences in place of {}: a step is the same but for rounding",
        with_commas(pass), with_commas(old_pass)));
  const int64_t seen = after.sequences_per_evaluation(),
                old_seen = before.sequences_per_evaluation();
  if (seen != old_seen)
    out.push_back(fmt::format("an evaluation sees {} sequences of a split in place of {}",
                              with_commas(seen), with_commas(old_seen)));
  return out;
}

namespace {

// Empty: the last step has min_lr, or what prints alike. `remedy`: the key that ends the decay with
// the run.
std::string high_end(const RunConfig& c, const std::string& remedy) {
  const int64_t steps = c.training.max_iters;
  const ScheduleConfig& s = c.schedule;
  if (!s.decay_lr || !s.lr_decay_iters || *s.lr_decay_iters <= steps || c.training.eval_only ||
      s.warmup_iters >= steps)  // which has a sentence of its own
    return {};
  const auto shown = [](double rate) { return fmt::format("{:.1e}", rate); };
  const std::string last = shown(learning_rate_at(c, steps - 1)),
                    least = shown(learning_rate_at(c, *s.lr_decay_iters));
  if (last == least) return {};
  return fmt::format(
      "the last step's learning rate is {} and not {}: max_iters = {} is over before "
      "lr_decay_iters = {}; HINT: {} lets the decay end with it",
      last, least, steps, *s.lr_decay_iters, remedy);
}

}  // namespace

std::string rate_left_high(const FieldList& list, const RunConfig& config) {
  const auto typed = [&](const char* key) {
    const Field* field = list.find(key);
    return field != nullptr && field->is_typed();
  };
  // A file that has both means both.
  const bool is_meant =
      typed("lr_decay_iters") || (list.given("lr_decay_iters") && !typed("max_iters"));
  if (!list.given("max_iters") || is_meant) return {};
  return high_end(config, fmt::format("--lr_decay_iters={}", config.training.max_iters));
}

std::string rate_left_high_in_stage(const FieldList& list, const RunConfig& config) {
  const bool is_presets =
      registry().has(config.preset) &&
      config.schedule.lr_decay_iters == preset_config(config.preset).schedule.lr_decay_iters;
  if (list.given("lr_decay_iters") || !is_presets) return {};
  return high_end(config, fmt::format("\"lr_decay_iters\": {}", config.training.max_iters));
}

}  // namespace fathom
