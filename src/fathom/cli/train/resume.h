// Where an interrupted run goes on, and what may be changed on the way. Torch-free: a resume is
// planned and refused before the engine is loaded.
#pragma once

#include <string>
#include <vector>

#include "fathom/cli/command_line.h"
#include "fathom/data/corpus.h"
#include "fathom/train/recipe/run_state.h"

namespace fathom {

struct Resumption {
  std::string checkpoint;          // its folder
  RunState state;                  // as saved; `state.config` is the run's, with the changes
  bool new_data = false;           // the corpus is another one and is read from its start
  std::vector<std::string> lines;  // what will happen, one sentence each

  // All steps were made and evaluated.
  bool is_done() const {
    const TrainingConfig& t = state.config.training;
    return state.step >= t.max_iters && state.evaluated_step == state.step && !t.eval_only;
  }
};

// A checkpoint of the run: `which` is its name (last, best, step-000001000), or auto for the newest
// complete one. Throws Error(kUsage) when there is none, or when the run is not one of `preset`.
Resumption find_checkpoint(const std::string& run, const std::string& which,
                           const std::string& preset);

// After the settings were applied to `changed` (a copy of plan.state.config, through `list`): keys
// that make the architecture return to the checkpoint's, with a line for each that differed; the
// others stay, with a line each.
void settle_changes(Resumption& plan, FieldList& list, RunConfig& changed);

// Refuses a corpus that is not the one the run was trained on, unless `accept_new_data`, and one
// with another tokenizer always: its ids would mean other text.
void check_data(Resumption& plan, const Corpus& corpus, bool accept_new_data);

}  // namespace fathom
