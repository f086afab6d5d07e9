// What an experiment's folder adds to the depth walk as far as it is data: settings of its own,
// changes of the plan, parameters. What it computes with them is the engine's (model/models.h).
// Torch-free, so that `fathom describe` and the checks before a run know it. docs/new-experiment.md
// builds five of them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/model_config.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/model/spec/policy.h"

namespace fathom {

// A parameter of a model and that of another one whose values become it.
struct PartName {
  std::string ours, theirs;
};

struct Learned {
  bool next_token = true;
  bool programs = false;    // of labels (data/numbers/numbers_data.h)
  bool lines = true;        // also of a stream's lines, not of whole sequences alone
  bool operations = false;  // these programs' operations among them
  // What is said where one of the first two is not in it: "lm_loss_weight = 0".
  std::string no_next_token, no_programs;
};

struct Architecture {
  std::string name;  // the engine's part is registered under it
  // Fields over slots of `settings`: list.add("gate_above", settings.number("gate_above", 0.5),
  // "..."). The command line, config files, validation and the checkpoint's copy follow from it.
  // One that is of_policy() may differ between stages of a training plan, evaluations and what a
  // verb is asked for: it is read of the pass (FunctionCall::settings, Policy::own), and shapes
  // neither plan nor parameters.
  std::function<void(FieldList& list, OwnSettings& settings)> add_fields = {};
  // After the sections made both: another wiring, other doors, heads, windows, loops in the plan;
  // counts, loops' rules and fates of keys in what a pass does with it. The walk's own rule is the
  // setting halt_rule's.
  std::function<void(const ModelConfig& config, DepthPlan& plan, Policy& policy)> change_plan = {};
  // A switch among its settings that freezes what `freeze` names and `unfreeze` does not, patterns
  // as of the keys of these names, which have the last word (train/recipe/freeze.h); and settings
  // of parts of it, `groups`, as of the key parameter_groups, whose own groups come first.
  struct Freeze {
    bool acts = false;
    std::string freeze, unfreeze, groups;
  };
  std::function<Freeze(const ModelConfig& config)> freezes = {};
  // Parameters besides the plan's. They become Part::kOwn, and their names are theirs alone.
  std::function<std::vector<ParameterSpec>(const ModelConfig& config, const DepthPlan& plan,
                                           int64_t vocab_size)>
      add_parameters = {};
  // Which weights of another model, trained before, become a part of this one (--initial_part).
  // Throws Error(kUsage) where the two do not go together. Null: none do.
  std::function<std::vector<PartName>(const ModelConfig& ours, const ModelConfig& theirs)>
      parts_of = {};
  // Those of its settings that act on such a part alone.
  std::vector<std::string> part_keys = {};
  // What such a part would do otherwise here than there though all of its weights fit, a sentence
  // each; null: nothing.
  std::function<std::vector<std::string>(const ModelConfig& ours, const ModelConfig& theirs)>
      tells_of_part = {};
  // Names of parameters that begin as initialised where a model starts from all weights of
  // `theirs` (--initial_model), which has none of those names; what is Part::kOwn may be missing
  // anyway. Throws Error(kUsage) where the two do not go together. Null: none do.
  std::function<std::vector<std::string>(const ModelConfig& ours, const ModelConfig& theirs)>
      begins_anew = {};
  // Operations of the programs that the model has labels for (data/numbers/program.h), and the
  // setting that says so, for sentences; unset or 0: it has none.
  std::function<std::optional<int64_t>(const ModelConfig& config)> program_depth = {};
  std::string program_depth_key = {};
  // Names of the operations that those programs may have, "add, multiply", and the setting that
  // says so; null or empty: any. Generated numbers are made of them where nothing else is said.
  std::function<std::string(const ModelConfig& config)> program_operations = {};
  std::string program_operations_key = {};
  // Throws Error(kUsage) where the model cannot say numbers of such a magnitude, which the programs
  // that it learns have by a setting: "value_range = [-10, 10]". Null: it says all.
  std::function<void(const ModelConfig& config, double largest, const std::string& by)>
      check_values = {};
  // What its objective is made of; null: the next token. Configurations whose data have nothing of
  // it are refused, and those of its settings in `label_keys` have no effect without labels.
  std::function<Learned(const ModelConfig& config)> learns = {};
  std::vector<std::string> label_keys = {};
};

// Throws Error for a setting of the architecture's whose name is taken in `list` (a run's, with
// these among its fields) or cannot be typed, or whose value is out of its range: runs would be
// made whose checkpoints nobody can read.
void check_own_settings(FieldList& list, const Architecture& architecture);

}  // namespace fathom
