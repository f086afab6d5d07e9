// Training plans: a file in either form, in JSON or TOML, or as a checkpoint keeps one.
#include <nlohmann/json.hpp>

#include "fathom/train/recipe/training_plan.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

using nlohmann::json;

// Around an override, a stage, or a loader's arguments.
std::string framed(size_t mode, const std::string& text) {
  if (mode == 1) return R"({"a": {"dataset": "x", "steps": 5, "overrides": {)" + text + "}}}";
  if (mode == 2) return R"({"steps": [{"dataset": "x", )" + text + "}]}";
  if (mode == 3)
    return R"({"datasets": {"d": {"ds_loader": )" + text + R"(}}, "steps": [{"datasets": ["d"]}]})";
  return text;
}

}  // namespace

FATHOM_FUZZ(in) {
  const size_t mode = in.below(6);
  const std::string text = framed(mode, grown(in));
  WrittenPlan read;
  const auto taken = [&] {
    if (mode == 5) {
      const json tree = json::parse(text, nullptr, /*allow_exceptions=*/false);
      if (!tree.is_discarded()) read.plan = tree.get<TrainingPlan>();
    } else {
      read = read_plan(text, mode == 4 ? "x.toml" : "x.json");
    }
  };
  if (!accepts(text.size(), taken) || read.plan.stages.empty()) return;
  for (const std::string& notice : read.notices) require_printable(notice);
  require_printable(read.plan.name);
  for (const Stage& stage : read.plan.stages) {
    require_printable(stage.name);
    require(stage.budget.amount > 0, "a stage lasts");
  }
  const json written = read.plan;
  const auto again = written.get<TrainingPlan>();
  require(json(again) == written, "a plan reads back as it was written");
  require(json(read_plan(written.dump(), "y.json").plan) == written, "and so from a file");
}

}  // namespace fathom::fuzzing
