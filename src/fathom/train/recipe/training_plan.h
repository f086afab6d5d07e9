// Training plans as they are written (LMPlay's curricula). JSON, in either of two forms:
//
//   {"datasets": {"w": {"ds_loader": "wiki", "args": ["en"]}},   data by name; may be left out
//    "steps": [{"step_name": "a", "datasets": ["w"], "epochs": 0.5}]}
//
//   {"a": {"dataset": "wiki_en", "epochs": 0.5}, "b": {"dataset": "openorca", "steps": 500}}
//
// A stage has, in both:
//   dataset, datasets   a prepared corpus or several, names or folders; left out: the run's own
//   one budget of       steps (iters), epochs, samples, tokens, minutes; left out: one epoch
//   mixture             of several corpora: first_exhausted, all_exhausted, weighted (with
//                       mixture_weights); interleave_stopping_strategy and LMPlay's
//                       interleve_stopping_strategy are the same
//   overrides           {key: value}, settings of the run that hold for the stage
// and in the first step_name (name), else its number from 0. A file whose name ends with .toml has
// the same in TOML.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/stage.h"

namespace fathom {

inline constexpr size_t kMaxPlanBytes = 1 << 20;

struct WrittenPlan {
  TrainingPlan plan;
  std::vector<std::string> notices;  // what was read and has no effect, one sentence each
};

// `name`: of the file, for errors and TrainingPlan::name. Whether the data is there is
// stage_runs.h's to say. Throws Error(kUsage) that names file, stage and what is wrong.
WrittenPlan read_plan(std::string_view text, const std::string& name);

// A file, or else a plan of the program's: one that the preset's experiment ships, a built-in one
// (built_in_plans.h), or one that another experiment ships (registry.h). Throws Error(kUsage) where
// there is none of the name.
WrittenPlan find_plan(const std::string& file_or_name, const std::string& preset = "");
WrittenPlan read_plan(const ShippedPlan& shipped);

// Whether a stage may have a value of its own: data, optimiser, schedule, guards, and how often the
// run evaluates, saves and tells. What shapes the model, seed, device and precision are the run's.
bool may_differ_between_stages(const Field& field);
std::string keys_of_stages();  // which those are, for a sentence

// The first form, without loss; what a checkpoint and the run's plan.json keep. Reading throws as
// read_plan does.
void to_json(nlohmann::json& json, const TrainingPlan& plan);
void from_json(const nlohmann::json& json, TrainingPlan& plan);

// A line for each stage: "a: wiki_en for 0.5 epochs, learning_rate = 0.001".
std::vector<std::string> to_text(const TrainingPlan& plan);

// The value of a key that a stage sets; empty: it does not.
std::string override_of(const Stage& stage, const std::string& key);
// The value of a field as an override has it: FieldList::set_text() takes it back.
std::string as_override(const Field& field);

}  // namespace fathom
