#include "fathom/train/recipe/optimizer_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

using State = std::vector<StateTensor>;

State two_moments(const ParameterSpec&) {
  return {{"m"}, {"v"}};
}

State sum_of_squares(const ParameterSpec&) {
  return {{"sum"}};
}

State momentum_buffer(const ParameterSpec&) {
  return {{"buffer"}};
}

State mean_square(const ParameterSpec&) {
  return {{"square_avg"}};
}

// Muon's own are the matrices within the model (Jordan et al. 2024): not its tables, which are read
// by row, nor its heads. What an experiment adds may be either.
State muon(const ParameterSpec& spec) {
  const bool inner = spec.part == Part::kAttention || spec.part == Part::kMlp ||
                     spec.part == Part::kGate || spec.part == Part::kAdapter;
  return inner && spec.shape.size() == 2 ? momentum_buffer(spec) : two_moments(spec);
}

// In training the parameter is y and its place in the state holds x, the answers' weights.
State schedule_free(const ParameterSpec&) {
  StateTensor z{"z", StateTensor::kWeights}, y{"y", StateTensor::kWeights}, sum{"weight_sum"};
  y.swaps = true;
  sum.is_number = true;
  return {{"v"}, z, y, sum};
}

}  // namespace

const std::vector<OptimizerRule>& optimizer_rules() {
  static const std::vector<OptimizerRule> rules = {
      {"adamw", "AdamW", true, {"beta1", "beta2", "adam_eps"}, two_moments},
      {"adam", "Adam", false, {"beta1", "beta2", "adam_eps"}, two_moments},
      {"adagrad", "Adagrad", false, {"adam_eps"}, sum_of_squares},
      {"sgd", "SGD", false, {"momentum"}, momentum_buffer},
      {"rmsprop", "RMSprop", false, {"rmsprop_alpha", "adam_eps"}, mean_square},
      {"muon",
       "Muon",
       true,
       {"beta1", "beta2", "adam_eps", "muon_lr", "muon_momentum", "muon_nesterov", "muon_ns_steps"},
       muon},
      {"schedule_free_adamw",
       "schedule-free AdamW",
       true,
       {"beta1", "beta2", "adam_eps"},
       schedule_free},
  };
  return rules;
}

bool OptimizerRule::reads(const std::string& key) const {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

const OptimizerRule& optimizer_rule(const std::string& name) {
  for (const OptimizerRule& rule : optimizer_rules())
    if (rule.name == name) return rule;
  fail(fmt::format("there is no optimiser {}", in_quotes(name)),
       "`fathom train --help` lists them");
}

double optimizer_bytes(const OptimizerRule& rule, const std::vector<ParameterSpec>& table) {
  constexpr double kNumber = 4;
  double numbers = 0;
  for (const ParameterSpec& spec : table)
    for (const StateTensor& tensor : rule.state(spec))
      numbers += tensor.is_number ? 1 : static_cast<double>(spec.count());
  return kNumber * numbers;
}

}  // namespace fathom
