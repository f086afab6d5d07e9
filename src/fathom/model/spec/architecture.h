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

struct Architecture {
  std::string name;  // the engine's part is registered under it
  // Fields over slots of `settings`: list.add("gate_above", settings.number("gate_above", 0.5),
  // "..."). The command line, config files, validation and the checkpoint's copy follow from it.
  std::function<void(FieldList& list, OwnSettings& settings)> add_fields = {};
  // After the sections made both: another wiring, other doors, heads, windows, loops in the plan;
  // counts, loops' rules and fates of keys in what a pass does with it. The walk's own rule is the
  // setting halt_rule's.
  std::function<void(const ModelConfig& config, DepthPlan& plan, Policy& policy)> change_plan = {};
  // Parameters besides the plan's. They become Part::kOwn, and their names are theirs alone.
  std::function<std::vector<ParameterSpec>(const ModelConfig& config, const DepthPlan& plan,
                                           int64_t vocab_size)>
      add_parameters = {};
  // Operations of the programs that the model has labels for (data/numbers/program.h), and the
  // setting that says so, for sentences; unset or 0: it has none.
  std::function<std::optional<int64_t>(const ModelConfig& config)> program_depth = {};
  std::string program_depth_key = {};
};

// Throws Error for a setting of the architecture's whose name is taken in `list` (a run's, with
// these among its fields) or cannot be typed, or whose value is out of its range: runs would be
// made whose checkpoints nobody can read.
void check_own_settings(FieldList& list, const Architecture& architecture);

}  // namespace fathom
