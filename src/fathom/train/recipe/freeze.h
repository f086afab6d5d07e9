// Which parameters a run leaves as they are.
#pragma once

#include <string>
#include <vector>

#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

// By parameter of the table: frozen or not. What an experiment's switch freezes is so to begin
// with, or everything by default_freeze; freeze and then unfreeze have the last word. These are
// names with `*` for any text, separated by commas. Throws Error(kUsage) for a name that
// no parameter has, and where nothing would be trained.
std::vector<bool> frozen_parameters(const OptimizerConfig& config,
                                    const std::vector<ParameterSpec>& table);

// Indices of the parameters that a pattern names. Throws Error(kUsage), with the key, for one that
// names none.
std::vector<size_t> parameters_named(const char* key, const std::string& pattern,
                                     const std::vector<ParameterSpec>& table);

// What the experiment's switches say (Architecture::freezes), as OptimizerConfig::own_freeze,
// own_unfreeze and own_groups: empty where they do not act. The user's keys stay as they are.
// resolve() has done so; a configuration that was read from a checkpoint needs it.
void settle_own_freeze(const ModelConfig& model, OptimizerConfig& config);

}  // namespace fathom
