// What follows from keys beyond what they say themselves: those that a resume changes, and a
// shorter run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/train/recipe/run_config.h"

namespace fathom {

// Where in its stage a run stands, beyond the steps.
struct Standing {
  std::optional<int64_t> updates = {};  // made by its optimiser; unset: as many as steps
  std::optional<double> done = {};      // part of the stage's budget, where that is not in steps
  std::optional<int64_t> was_at = {};   // steps made until here, if it is set back; unset: `step`
  bool new_optimizer = false;           // begins anew, whatever the keys say
};

// One sentence each; none where nothing follows. `step`: how many steps of the stage were made.
// Throws Error(kUsage) where `after` freezes what there is not, or everything.
std::vector<std::string> consequences(const RunConfig& before, const RunConfig& after, int64_t step,
                                      const Standing& at = {});

// Of a new run whose max_iters was given, and whose preset has its decay end later: a sentence that
// says at which learning rate the run would end. Empty: nothing is wrong.
std::string rate_left_high(const FieldList& list, const RunConfig& config);
// The same of a stage with so many steps, whose overrides are `list`.
std::string rate_left_high_in_stage(const FieldList& list, const RunConfig& config);

}  // namespace fathom
