#include "fathom/train/recipe/resume.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/track/run_folder.h"
#include "fathom/train/recipe/consequences.h"
#include "fathom/train/recipe/evaluations.h"
#include "fathom/train/recipe/run_request.h"
#include "fathom/train/recipe/stage_data.h"
#include "fathom/train/recipe/training_plan.h"
#include "fathom/train/recipe/wiring_description.h"

namespace fathom {
namespace {

// Of the stage in which the run stands.
double part_done(const RunState& state, const StageRun& stage) {
  return done(stage.budget, state.step - state.stage_start_step,
              since(state.stage_start, state.progress), training_data(stage)->samples());
}

// Whether `own`, which spells out all that differs between its stages, was made of `other`.
bool was_made_of(const TrainingPlan& own, const TrainingPlan& other) {
  const auto same = [](const Stage& a, const Stage& b) {
    RunConfig config;
    FieldList list;
    add_fields(list, config);
    for (const auto& [key, text] : b.overrides) {
      Field* field = list.find(key);
      if (field != nullptr) field->assign_text(text, key);
      if ((field != nullptr ? as_override(*field) : text) != override_of(a, key)) return false;
    }
    return a.name == b.name && a.budget == b.budget;
  };
  return std::equal(own.stages.begin(), own.stages.end(), other.stages.begin(), other.stages.end(),
                    same);
}

}  // namespace

void require_run(const std::string& run, const std::string& preset) {
  const std::string folder = run_folder(run);
  const FolderUse use = folder_use(folder);
  if (use == FolderUse::kOther)
    misuse(folder + " is there and is no run",
           "`fathom runs` shows the runs that there are; a new one needs another --run_name");
  if (use != FolderUse::kFree) return;
  const std::vector<std::string> names = run_names();
  const std::string nearest = nearest_name(run, names);
  misuse(fmt::format("there is no run {} in {} to go on with", in_quotes(run), runs_root()),
         (!nearest.empty() ? fmt::format("did you mean {}? ", nearest)
          : names.empty()  ? ""
                           : "`fathom runs` shows those that there are; ") +
             fmt::format("`fathom train {} --run_name={}` starts one of that name",
                         preset.empty() ? "EXPERIMENT" : preset, run));
}

Resumption find_checkpoint(const std::string& run, const std::string& which,
                           const std::string& preset) {
  const std::string folder = run_folder(run);
  require_run(run, preset);
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

bool is_done(const Resumption& plan, const std::vector<StageRun>& stages) {
  const RunState& s = plan.state;
  if (s.evaluated_step != s.step || s.config.training.eval_only) return false;
  return stages.back().name == s.stage && part_done(s, stages.back()) >= 1;
}

void drop_history(Resumption& plan) {
  plan.lines.emplace_back(
      "the history is dropped: weights and moments stay, step and data begin anew");
  plan.state.step = plan.state.stage_start_step = 0;
  plan.state.progress = plan.state.stage_start = {};
  plan.state.evaluated_step = -1;
  plan.state.best_value = std::numeric_limits<double>::infinity();
}

TrainingPlan plan_of(Resumption& plan, const TrainingPlan* other, bool override_plan) {
  const RunState& state = plan.state;
  const bool takes_other = other != nullptr && override_plan;
  if (state.plan == nullptr && other == nullptr) return {};
  if (state.plan == nullptr)
    misuse(fmt::format("the run has no training plan, so it stands in none of the stages of {}",
                       other->name),
           "a new run takes its weights: --initial_model=RUN --training_plan=PLAN");
  const TrainingPlan own = *state.plan;
  if (other != nullptr && !override_plan && !was_made_of(own, *other))
    plan.lines.push_back(
        fmt::format("the run's own training plan {} stays: --override_plan takes {} in its place",
                    own.name, other->name));
  const TrainingPlan& taken = takes_other ? *other : own;
  std::vector<std::string> names;
  for (const Stage& stage : taken.stages) names.push_back(stage.name);
  const auto at = std::find(names.begin(), names.end(), state.stage);
  if (at == names.end())
    misuse(fmt::format("the run stands in the stage {}, and the training plan {} has only {}",
                       in_quotes(state.stage), taken.name, join(names, ", ")),
           "a plan that a run goes on with keeps that stage's name; a new run takes its weights: "
           "--initial_model=RUN");
  plan.lines.push_back(fmt::format("in the stage {} of the training plan {}, {} of {}", state.stage,
                                   taken.name, at - names.begin() + 1, names.size()));
  return taken;
}

void keep_architecture(Resumption& plan, FieldList& list) {
  FieldList saved;
  add_fields(saved, plan.state.config);
  for (const Field& before : saved.all()) {
    Field* field = list.find(before.name());
    if (field == nullptr || !field->does_shape_weights() || field->value() == before.value())
      continue;
    // The same formula, otherwise spelled.
    if (before.name() == "wiring" &&
        is_same_wiring(plan.state.config.model.wiring.wiring, field->value().get<std::string>())) {
      field->assign(before.value(), plan.checkpoint);
      continue;
    }
    plan.lines.push_back(fmt::format("{} = {} stays: {} is for a new run", before.name(),
                                     to_literal(before.value()), to_literal(field->value())));
    field->assign(before.value(), plan.checkpoint);
  }
}

void tell_changes(Resumption& plan, const StageRun& stage, const TrainOptions& options) {
  const RunConfig& changed = stage.config;
  const int64_t stood = plan.state.step - plan.state.stage_start_step;
  const bool starts_over = options.reset_history;
  Standing at;
  at.updates = plan.state.optimizer_steps;
  if (stage.budget.unit != Budget::Unit::kSteps)
    at.done = starts_over ? 0 : part_done(plan.state, stage);
  at.was_at = stood;
  at.new_optimizer = options.ignore_optimizer;
  for (const std::string& change : changes(plan.state.config, changed))
    plan.lines.push_back(change);
  for (const std::string& line :
       consequences(plan.state.config, changed, starts_over ? 0 : stood, at))
    plan.lines.push_back(line);
  if (plan.state.best_metric == "eval/val/objective" && !objective_decides(plan.state.config.model))
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

void check_data(Resumption& plan, const std::vector<Corpus>& corpora, bool accept_new_data) {
  if (fingerprint(corpora) == plan.state.corpus_fingerprint) return;
  std::string names;
  for (const Corpus& corpus : corpora) {
    names += (names.empty() ? "" : ", ") + corpus.name();
    if (corpus.tokenizer() != nullptr && has_other_tokenizer(plan.state, *corpus.tokenizer()))
      misuse(fmt::format("the corpus {} has another tokenizer than the run", corpus.name()),
             "its ids mean other text: prepare it with the run's tokenizer, or start a new run");
  }
  const bool is_one = corpora.size() == 1;
  const bool has_files = std::any_of(corpora.begin(), corpora.end(),
                                     [](const Corpus& corpus) { return !corpus.is_generated(); });
  if (!accept_new_data)
    misuse(fmt::format("the {} {} {} that the run was trained on", is_one ? "corpus" : "corpora",
                       names, is_one ? "is not the one" : "are not those"),
           std::string("--accept_new_data=true takes it from its start; the weights stay") +
               (has_files ? ". What is compared is files: the same text in other shards is other "
                            "data too"
                          : ""));
  plan.new_data = true;
  plan.lines.push_back(fmt::format(
      "{} is new data, read from its start; the best evaluation so far is forgotten", names));
}

}  // namespace fathom
