#include "fathom/cli/train/resume.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/track/run_folder.h"
#include "fathom/train/recipe/consequences.h"

namespace fathom {

Resumption find_checkpoint(const std::string& run, const std::string& which,
                           const std::string& preset) {
  const std::string folder = run_folder(run);
  if (!std::filesystem::exists(folder))
    misuse(fmt::format("there is no run {} to go on with", in_quotes(run)),
           suggestion(run, run_names(), "leave out --resume to start it"));
  const std::string checkpoints = folder + "/checkpoints";
  std::vector<std::string> reasons;
  std::optional<CheckpointChoice> choice;
  if (which == "auto")
    choice = newest_complete(checkpoints, &reasons);
  else if (std::filesystem::exists(checkpoints + "/" + which))
    choice = CheckpointChoice{checkpoints + "/" + which, /*step=*/0, {}};
  if (!choice && !reasons.empty())
    misuse(fmt::format("no checkpoint of {} can be gone on from: {}", folder, join(reasons, "; ")),
           "bring back a copy of one of them; --force would remove the run");
  // Left there by a --reset_history that ended before its first checkpoint.
  if (!choice && which == "auto" && std::filesystem::exists(checkpoints + "-1"))
    misuse(fmt::format("{} has no checkpoint to go on from", folder),
           fmt::format("earlier ones are in {}-1: move them back into checkpoints", checkpoints));
  if (!choice)
    misuse(fmt::format("{} has no {}checkpoint to go on from", folder,
                       which == "auto" ? "" : in_quotes(which) + " as a "),
           which == "auto" ? "start it afresh with --force instead of --resume"
                           : "take --checkpoint=auto, last, best or a numbered one that is there");
  Resumption plan;
  plan.checkpoint = choice->folder;
  plan.state = load_state(choice->folder);
  if (plan.state.config.preset != preset)
    misuse(fmt::format("{} is a run of {}, not of {}", folder, plan.state.config.preset, preset),
           fmt::format("fathom train {} --run_name={} --resume", plan.state.config.preset, run));
  plan.lines = choice->skipped;
  return plan;
}

void settle_changes(Resumption& plan, FieldList& list, RunConfig& changed) {
  FieldList saved;
  add_fields(saved, plan.state.config);
  for (const Field& before : saved.all()) {
    Field* field = list.find(before.name());
    if (field == nullptr || !field->does_shape_weights() || field->value() == before.value())
      continue;
    plan.lines.push_back(fmt::format("{} = {} stays: {} is for a new run", before.name(),
                                     to_literal(before.value()), to_literal(field->value())));
    field->assign(before.value(), plan.checkpoint);
  }
  for (const std::string& change : changes(plan.state.config, changed))
    plan.lines.push_back(change);
  for (const std::string& line :
       consequences(plan.state.config, changed, plan.state.step, plan.state.optimizer_steps))
    plan.lines.push_back(line);
  if (plan.state.best_metric == "eval/val/objective")
    plan.lines.emplace_back(
        "this run's best is the least objective, and stays so; what its numbers called loss was "
        "the "
        "objective, from here on it is the last layer's");
  const RunState before = plan.state;
  plan.state.config = changed;
  if (!compares(before, plan.state))
    plan.lines.emplace_back(
        "evaluations are made otherwise than before: the best one is forgotten");
}

void check_data(Resumption& plan, const Corpus& corpus, bool accept_new_data) {
  if (corpus.fingerprint() == plan.state.corpus_fingerprint) return;
  if (corpus.tokenizer() != nullptr && has_other_tokenizer(plan.state, *corpus.tokenizer()))
    misuse(fmt::format("the corpus {} has another tokenizer than the run", corpus.name()),
           "its ids mean other text: prepare it with the run's tokenizer, or start a new run");
  if (!accept_new_data)
    misuse(fmt::format("the corpus {} is not the one that the run was trained on", corpus.name()),
           "--accept_new_data=true takes it from its start; the weights stay");
  plan.new_data = true;
  plan.lines.push_back(
      fmt::format("{} is new data, read from its start; the best evaluation so far is forgotten",
                  corpus.name()));
}

}  // namespace fathom
