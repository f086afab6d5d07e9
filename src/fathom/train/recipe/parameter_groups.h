// Parameters with a rate, a weight decay or a beginning of their own.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

struct ParameterGroup {
  std::string pattern;          // of names; `*` is any text
  double rate = 1;              // times the learning rate
  std::optional<double> decay;  // weight decay, whatever decay_rule says; unset: as without
  int64_t frozen_until = 0;     // before this step of a stage the parameters stay as they are
};

// "head.*: lr=0.1, decay=0; mlp.0.*: frozen_until=500". Throws Error(kUsage) for what is none.
std::vector<ParameterGroup> read_parameter_groups(const std::string& text);

// What an optimiser does with one parameter.
struct ParameterSetting {
  bool frozen = false;  // for good (freeze.h)
  int64_t frozen_until = 0;
  double rate = 1;
  double weight_decay = 0;

  bool frozen_at(int64_t step) const { return frozen || step < frozen_until; }
};

// By parameter of the table. The first group that fits counts, those of the experiment's switches
// (freeze.h) behind the user's, and what is frozen stays so. Throws
// Error(kUsage) as frozen_parameters() does, for a group that fits nothing or nothing that is left,
// and where nothing would be trained in the first step.
std::vector<ParameterSetting> parameter_settings(const OptimizerConfig& config,
                                                 const std::vector<ParameterSpec>& table);

}  // namespace fathom
