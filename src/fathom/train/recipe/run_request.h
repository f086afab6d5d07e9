// What is asked of a training run, and what comes of it before a tensor is made: its stages, its
// data, where it goes on.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fathom/data/corpus.h"
#include "fathom/parallel/launch.h"
#include "fathom/train/recipe/initial_part.h"
#include "fathom/train/recipe/rank_settings.h"
#include "fathom/train/recipe/resume.h"
#include "fathom/train/recipe/run_config.h"
#include "fathom/train/recipe/stage.h"

namespace fathom {

struct TrainOptions {
  std::string exp;          // LMPlay's spelling of the preset
  bool describe = false;    // say what would be trained, and stop
  std::string run_name;     // empty: preset and time
  std::string run_path;     // of a run that was named by it; empty: it was not
  bool is_unnamed = false;  // nobody asked for the name that it has got
  std::string out_dir;      // nanoGPT's spelling of it
  std::string init_from = "scratch";
  std::string training_plan;   // a file or a built-in plan's name; empty: none
  bool override_plan = false;  // with resume: training_plan in place of the run's own
  std::string initial_model;   // a run or checkpoint whose weights it starts from; empty: none
  std::string initial_part;    // one whose weights become a part of it; empty: none
  bool resume = false;
  std::string checkpoint = "auto";  // with resume: from which
  bool accept_new_data = false;
  bool reset_history = false;
  bool ignore_optimizer = false;
  bool force = false;
  bool quiet = false;
  bool keeps_log_lines = false;  // log_interval was given: a log has a line for each
  int64_t nproc = 1;             // ranks that this process starts
  // By settle_launch() (launched_run.h): rank 0 says whether the run's name is free; and why what
  // is there is not gone on with, ", which ..."
  bool leaves_name_to_first = false;
  std::string why_not_gone_on;
  RankSettings ranks;
};
void add_fields(FieldList& list, TrainOptions& options);
// That settings of the experiment's act on what initial_part takes, where there is one.
void add_needs_of_part(FieldList& list, const ModelConfig& model, const TrainOptions& options);
// run_name, where out_dir gives it.
void take_name_of_out_dir(TrainOptions& options);
// What a command line calls the run.
inline const std::string& run_word(const TrainOptions& options) {
  return options.run_path.empty() ? options.run_name : options.run_path;
}
// The run's name, where none was given, and whether that is free. Throws Error(kUsage).
void settle_run_name(const std::string& preset, TrainOptions& options);

struct TrainRequest {
  RunConfig config;              // of the stage that is trained first
  std::vector<StageRun> stages;  // at least one; those before it too, where a run goes on
  TrainingPlan plan;             // what they were made of; no stages: there is no plan
  std::optional<Resumption> resume;
  std::string initial_checkpoint;    // folder; empty: none
  std::set<std::string> begin_anew;  // parameters that the experiment lets it be without
  InitialPart initial_part;          // laid over it
  TrainOptions options;              // run_name settled
  Launch launch;                     // which of the processes that train together this is
  Corpus corpus;                     // the first of config's data
  int64_t vocab_size = 0;
  std::vector<std::string> notices;  // what was decided on the way, one sentence each
  // Of ranks that have yet to meet, for another one may wait: that the run is complete. Empty: it
  // is not, and where it is nothing else is settled.
  std::string complete;
};

// What a trainer makes of it.
RunPlan run_of(const TrainRequest& request);

// Steps of all stages; 0 where that is not known.
int64_t total_steps(const TrainRequest& request);

// `--training_plan`; nothing where there is none. Throws Error(kUsage).
std::optional<TrainingPlan> asked_plan(TrainRequest& request);

// The rest of a request whose configuration is resolved, whose options and resumption are settled
// and whose fields are `list`, which points into it: everything else that can be wrong is found
// here. `request` is used up. `plan`: nothing or without stages where there is none. Nothing: the
// run is complete, which has been said.
std::optional<TrainRequest> settle_request(TrainRequest& request, std::optional<TrainingPlan> plan,
                                           const FieldList& list);

}  // namespace fathom
