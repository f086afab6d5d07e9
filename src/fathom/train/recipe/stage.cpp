#include "fathom/train/recipe/stage.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/base/error.h"

namespace fathom {

std::string to_text(const Budget& budget) {
  const char* const unit = budget.unit == Budget::Unit::kSteps     ? "step"
                           : budget.unit == Budget::Unit::kEpochs  ? "epoch"
                           : budget.unit == Budget::Unit::kSamples ? "sample"
                           : budget.unit == Budget::Unit::kTokens  ? "token"
                                                                   : "minute";
  return fmt::format("{} {}{}", budget.amount, unit, budget.amount == 1 ? "" : "s");
}

double done(const Budget& budget, int64_t steps, const Progress& progress,
            std::optional<int64_t> epoch) {
  const auto part = [&](double so_far) { return budget.amount > 0 ? so_far / budget.amount : 1; };
  switch (budget.unit) {
    case Budget::Unit::kSteps:
      return part(static_cast<double>(steps));
    case Budget::Unit::kSamples:
      return part(static_cast<double>(progress.samples));
    case Budget::Unit::kTokens:
      return part(static_cast<double>(progress.tokens));
    case Budget::Unit::kMinutes:
      return part(progress.seconds / 60);
    case Budget::Unit::kEpochs:
      break;
  }
  if (!epoch)
    misuse("a stage's budget is in epochs, and its data has no end",
           "give the budget in steps, samples, tokens or minutes");
  return part(static_cast<double>(progress.samples) / static_cast<double>(*epoch));
}

bool is_of_training_pass(const Field& field) {
  return field.is_of_policy() || (field.section() == "looping" && !field.does_shape_weights());
}

bool pass_alike(const ModelConfig& a, const ModelConfig& b) {
  ModelConfig left = a, right = b;
  FieldList of_left, of_right;
  add_fields(of_left, left);
  add_fields(of_right, right);
  for (const Field& field : of_left.all())
    if (is_of_training_pass(field) && field.value() != of_right.find(field.name())->value())
      return false;
  return true;
}

RunPlan one_stage(const RunConfig& config, Corpus corpus) {
  const Budget budget = {Budget::Unit::kSteps, static_cast<double>(config.training.max_iters)};
  return {{{"", config, budget, {std::move(corpus)}}}, {}};
}

}  // namespace fathom
