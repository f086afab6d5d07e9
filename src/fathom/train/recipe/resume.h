// Where an interrupted run goes on, and what may be changed on the way. Torch-free: a resume is
// planned and refused before the engine is loaded.
#pragma once

#include <string>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/data/corpus.h"
#include "fathom/train/recipe/run_state.h"
#include "fathom/train/recipe/stage.h"

namespace fathom {

struct TrainOptions;  // run_request.h
struct TrainRequest;

struct Resumption {
  std::string checkpoint;          // its folder
  RunState state;                  // as saved; `state.config` is the run's, with the changes
  bool new_data = false;           // the corpus is another one and is read from its start
  std::vector<std::string> lines;  // what will happen, one sentence each
};

// Throws Error(kUsage) where there is no such run; `preset`, empty where none was given, is for
// what to type.
void require_run(const std::string& run, const std::string& preset);

// A checkpoint of the run: `which` is its name (last, best, step-000001000), or auto for the newest
// complete one. Throws Error(kUsage) when there is none, or when the run is not one of `preset`.
Resumption find_checkpoint(const std::string& run, const std::string& which,
                           const std::string& preset);

// All was trained and evaluated, and nothing else was asked for. `stages` are those of the run.
bool is_done(const Resumption& plan, const std::vector<StageRun>& stages);

// Weights and moments stay; step, data and best value begin anew, which is said.
void drop_history(Resumption& plan);

// The training plan that the run goes on with: its own, or `other` (null: none is given) with
// `override_plan`. Empty where it has none. Throws Error(kUsage) where the stage in which the run
// stands is not one of it, for then nothing would be trained.
TrainingPlan plan_of(Resumption& plan, const TrainingPlan* other, bool override_plan);

// After the settings were applied to a copy of plan.state.config, through `list`: keys that make
// the architecture return to the checkpoint's, with a line for each that differed.
void keep_architecture(Resumption& plan, FieldList& list);
// The configuration of `stage` becomes the run's, with a line for each key that is another than
// before and for what follows from it, where the run will stand.
void tell_changes(Resumption& plan, const StageRun& stage, const TrainOptions& options);

// Refuses data that is not what the run was trained on, unless `accept_new_data`, and data with
// another tokenizer always: its ids would mean other text.
void check_data(Resumption& plan, const std::vector<Corpus>& corpora, bool accept_new_data);

// Where a run stands when it goes on as the request says, its best evaluation forgotten where that
// will be; for who only tells it. Of a run without a training plan (`plan` has no stages) that is
// given other data that is looked at, and refused, as check_data() does; what that says becomes a
// notice.
RunState state_to_go_on(TrainRequest& request, const TrainingPlan& plan);

}  // namespace fathom
