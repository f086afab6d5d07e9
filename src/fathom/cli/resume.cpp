#include "fathom/cli/resume.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"
#include "fathom/io/checkpoint_folder.h"

namespace fathom {

ResumePlan find_checkpoint(const std::string& run_folder, const std::string& preset) {
  const std::optional<CheckpointChoice> choice = newest_complete(run_folder + "/checkpoints");
  if (!choice)
    misuse(fmt::format("{} has no complete checkpoint to go on from", run_folder),
           "start it afresh with --force instead of --resume");
  ResumePlan plan;
  plan.checkpoint = choice->folder;
  plan.state = load_state(choice->folder);
  if (plan.state.config.preset != preset)
    misuse(
        fmt::format("{} is a run of {}, not of {}", run_folder, plan.state.config.preset, preset),
        fmt::format("fathom train {} --resume ...", plan.state.config.preset));
  plan.lines = choice->skipped;
  return plan;
}

void settle_changes(ResumePlan& plan, FieldList& list, RunConfig& changed) {
  FieldList saved;
  add_fields(saved, plan.state.config);
  for (const Field& before : saved.all()) {
    Field* field = list.find(before.name());
    if (field == nullptr || !field->is_architecture() || field->value() == before.value()) continue;
    plan.lines.push_back(fmt::format("{} = {} stays: {} is for a new run", before.name(),
                                     to_literal(before.value()), to_literal(field->value())));
    field->assign(before.value(), plan.checkpoint);
  }
  for (const std::string& change : changes(plan.state.config, changed))
    plan.lines.push_back(change);
  plan.state.config = changed;
}

void check_data(ResumePlan& plan, const Corpus& corpus, bool accept_new_data) {
  if (corpus.fingerprint() == plan.state.corpus_fingerprint) return;
  if (!accept_new_data)
    misuse(fmt::format("the corpus {} is not the one that the run was trained on", corpus.name()),
           "--accept_new_data=true takes it from its start; the weights stay");
  plan.new_data = true;
  plan.lines.push_back(fmt::format("{} is new data, read from its start", corpus.name()));
}

}  // namespace fathom
