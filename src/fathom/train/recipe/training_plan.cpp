#include "fathom/train/recipe/training_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/config_file.h"
#include "fathom/config/literal.h"
#include "fathom/config/path_text.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/train/recipe/built_in_plans.h"
#include "fathom/train/recipe/plan_reader.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr std::array kSectionsOfStages = {"data",     "optimizer", "spectral",
                                          "schedule", "guards",    "numbers"};
constexpr std::array kTrainingKeysOfStages = {
    "eval_interval", "eval_iters",      "evaluations",           "validation_interval",
    "loss_norm",     "save_interval",   "validation_batch_size", "checkpoint_interval",
    "log_interval",  "recompute_blocks"};

template <class List>
bool holds(const List& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

const char* unit_key(Budget::Unit unit) {
  switch (unit) {
    case Budget::Unit::kSteps:
      return "steps";
    case Budget::Unit::kEpochs:
      return "epochs";
    case Budget::Unit::kSamples:
      return "samples";
    case Budget::Unit::kTokens:
      return "tokens";
    case Budget::Unit::kMinutes:
      break;
  }
  return "minutes";
}

}  // namespace

bool may_differ_between_stages(const Field& field) {
  return is_of_training_pass(field) || holds(kSectionsOfStages, field.section()) ||
         holds(kTrainingKeysOfStages, field.name());
}

std::string keys_of_stages() {
  std::string out = "those of ";
  for (const char* section : kSectionsOfStages) out += std::string(section) + ", ";
  out += "those of a pass (max_loops, loop_sampling_strategy, halt_threshold, ...) and";
  for (const char* key : kTrainingKeysOfStages)
    out += std::string(key == kTrainingKeysOfStages.front() ? " " : ", ") + key;
  return out;
}

std::string override_of(const Stage& stage, const std::string& key) {
  for (const auto& [name, text] : stage.overrides)
    if (name == key) return text;
  return "";
}

std::string as_override(const Field& field) {
  const Value value = field.value();
  return value.is_string() ? value.get<std::string>() : to_literal(value);
}

void to_json(json& out, const TrainingPlan& plan) {
  json steps = json::array();
  for (const Stage& stage : plan.stages) {
    constexpr double kExact = 9007199254740992;
    const double amount = stage.budget.amount;
    const bool whole = std::nearbyint(amount) == amount && std::abs(amount) < kExact;
    json overrides = json::array();  // a list keeps their order
    for (const auto& [key, text] : stage.overrides) overrides.push_back({key, text});
    steps.push_back(
        {{"step_name", stage.name},
         {unit_key(stage.budget.unit), whole ? json(static_cast<int64_t>(amount)) : json(amount)},
         {"overrides", std::move(overrides)}});
  }
  out = {{"name", plan.name}, {"steps", std::move(steps)}};
}

void from_json(const json& in, TrainingPlan& plan) {
  plan = plan_from_json(in, "the training plan").plan;
}

WrittenPlan read_plan(std::string_view text, const std::string& name) {
  const std::string_view ending = ".toml";
  if (name.size() > ending.size() && name.substr(name.size() - ending.size()) == ending)
    return plan_from_json(read_toml_tree(std::string(text), escaped(name)), name);
  try {
    return plan_from_json(parse_ordered_json(text, escaped(name)), name);
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kUsage) throw;
    misuse(e.what(), R"(a plan is JSON: {"a": {"dataset": "NAME", "epochs": 0.5}, ...})");
  }
}

WrittenPlan read_plan(const ShippedPlan& shipped) {
  WrittenPlan written = read_plan(shipped.text, shipped.stem + shipped.ending);
  written.plan.name = shipped.stem;
  return written;
}

WrittenPlan find_plan(const std::string& file_or_name, const std::string& preset) {
  const std::string path = path_from_text(file_or_name);
  const PathKind kind = kind_of(path);
  if (kind == PathKind::kFile || kind == PathKind::kStream)
    return read_plan(read_once(path, kMaxPlanBytes), path);
  const std::string experiment =
      registry().has(preset) ? registry().preset(preset).experiment : std::string();
  const ShippedPlan* shipped = registry().plan(experiment, path);
  const bool is_own = shipped != nullptr && shipped->experiment == experiment;
  const BuiltInPlan* built_in = find_built_in_plan(path);
  if (shipped != nullptr && (is_own || built_in == nullptr)) return read_plan(*shipped);
  if (built_in != nullptr) return {built_in->plan, {}};
  std::vector<std::string> names;
  for (const BuiltInPlan& known : built_in_plans()) names.push_back(known.plan.name);
  for (const ShippedPlan& known : registry().plans()) names.push_back(known.stem);
  const std::string nearest = nearest_name(path, names);
  misuse(fmt::format("there is neither a file nor a built-in training plan {}", in_quotes(path)),
         (nearest.empty() ? "" : fmt::format("did you mean {}? ", nearest)) +
             "`fathom plan list` shows the built-in ones");
}

std::vector<std::string> to_text(const TrainingPlan& plan) {
  std::vector<std::string> out;
  for (const Stage& stage : plan.stages) {
    const std::string data = override_of(stage, "dataset");
    std::string line =
        fmt::format("{}: {} for {}", stage.name, data.empty() ? "the run's data" : escaped(data),
                    to_text(stage.budget));
    for (const auto& [key, text] : stage.overrides)
      if (key != "dataset") line += fmt::format(", {} = {}", key, escaped(text));
    out.push_back(std::move(line));
  }
  return out;
}

}  // namespace fathom
