#include "fathom/train/recipe/run_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/base/visible.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/track/run_folder.h"
#include "fathom/track/terminal.h"
#include "fathom/train/recipe/data_options.h"
#include "fathom/train/recipe/data_places.h"
#include "fathom/train/recipe/fits_memory.h"
#include "fathom/train/recipe/parameter_groups.h"
#include "fathom/train/recipe/run_checkpoint.h"
#include "fathom/train/recipe/stage_runs.h"
#include "fathom/train/recipe/suggested_words.h"
#include "fathom/train/recipe/training_plan.h"
#include "fathom/train/recipe/wiring_description.h"

namespace fathom {

void add_fields(FieldList& list, TrainOptions& o) {
  list.section("run");
  list.add("exp", o.exp, "LMPlay's spelling of EXPERIMENT; `list` shows them")
      .suggests(suggested_presets);
  list.add("describe", o.describe,
           "say what would be trained, as `fathom describe` does, and stop");
  list.add("run_name", o.run_name,
           "folder below runs/, empty: the preset and the time; with resume also a run's path")
      .any_bytes()  // of a path; a name is checked
      .usual()
      .suggests(suggested_runs);
  list.add("out_dir", o.out_dir, "nanoGPT's spelling of run_name: its last part").path();
  list.add<std::string>(
      "init_from", o.init_from,
      "nanoGPT's switch; resume is --resume, and weights of GPT-2 come by `fathom "
      "import FOLDER` and --initial_model",
      {{"scratch", "scratch"}, {"resume", "resume"}});
  list.add("resume", o.resume, "go on with the run from a checkpoint").usual();
  list.add("checkpoint", o.checkpoint,
           "with resume: auto is the newest complete one; last, best, or a numbered one's name")
      .suggests(suggested_checkpoints);
  list.add("accept_new_data", o.accept_new_data,
           "with resume: another corpus than before, read from its start");
  list.add("training_plan", o.training_plan,
           "stages to train one after the other: a file, or a name that `fathom plan list` shows; "
           "`fathom plan` checks it. The run is called as without one")
      .path()
      .usual()
      .suggests(suggested_plans);
  list.add("override_plan", o.override_plan,
           "with resume: training_plan in place of the run's own, with the stage where it stands");
  list.add("initial_model", o.initial_model,
           "a run or a checkpoint's folder whose weights to start from; it is only read")
      .path()
      .suggests(suggested_runs);
  list.add("initial_part", o.initial_part,
           "a run or a checkpoint's folder whose weights become a part of this model, which the "
           "experiment names; over initial_model's, and only read")
      .path()
      .suggests(suggested_runs);
  list.add("reset_history", o.reset_history,
           "with resume: keep the weights, but begin at step 0 of the data and the schedule");
  list.add("ignore_optimizer", o.ignore_optimizer,
           "with resume: what the optimiser keeps begins anew");
  list.add("force", o.force, "remove a run of the same name first");
  list.add("quiet", o.quiet, "no progress, only the outcome");
  list.add("nproc", o.nproc,
           "processes of this machine that train together, each with its part of every step's "
           "sequences; torchrun, mpirun and srun start theirs themselves")
      .at_least(1)
      .at_most(1024)
      .alias("nproc_per_node");
  add_fields(list, o.ranks);
}

void add_needs_of_part(FieldList& list, const ModelConfig& model, const TrainOptions& options) {
  if (model.architecture == nullptr) return;
  for (const std::string& key : model.architecture->part_keys) {
    Field* field = list.find(key);
    if (field == nullptr)
      fail(fmt::format("part_keys names {}, which is no key of the experiment", key));
    field->needs("initial_part", [&options] { return !options.initial_part.empty(); });
  }
}

void take_name_of_out_dir(TrainOptions& options) {
  if (!options.run_name.empty() || options.out_dir.empty()) return;
  const std::filesystem::path path = std::filesystem::path(options.out_dir).lexically_normal();
  options.run_name = path.has_filename() ? path.filename() : path.parent_path().filename();
}

void settle_run_name(const std::string& preset, TrainOptions& options) {
  take_name_of_out_dir(options);
  if (options.run_name.empty() && options.resume)
    misuse("resume needs to know the run", "add --run_name=NAME; `fathom runs` shows them");
  if (options.resume && options.run_name.find('/') != std::string::npos) {
    options.run_path = options.run_name;
    options.run_name = enter_runs_of(options.run_path);
  }
  options.is_unnamed = options.run_name.empty();
  if (options.is_unnamed) options.run_name = default_run_name(preset);
  check_run_name(options.run_name);
  if (options.leaves_name_to_first) return;
  const std::string folder = run_folder(options.run_name);
  const FolderUse use = folder_use(folder);
  if (use == FolderUse::kOther && !options.resume)
    misuse(fmt::format("{} is there and is no run", folder),
           "choose another --run_name, or move what is there away");
  const bool is_free = use == FolderUse::kFree || use == FolderUse::kLeftOver;
  if (!is_free && !options.force && !options.resume)
    misuse(fmt::format("the run {} exists already: {}{}", options.run_name, folder,
                       options.why_not_gone_on),
           "go on with it by --resume, choose another --run_name, or remove it with --force");
}

namespace {

// What the weights start from.
void check_start(TrainRequest& request) {
  const TrainOptions& o = request.options;
  for (const auto& [name, key] :
       {std::pair{&o.initial_model, "initial_model"}, {&o.initial_part, "initial_part"}})
    if (o.resume && !name->empty())
      misuse(fmt::format("resume and {} both say where the weights come from", key),
             "a resumed run has its own; leave out one of them");
  if (o.resume && o.force)
    misuse("resume goes on with the run, force removes it", "leave out one of them");
  for (const auto& [given, key] : {std::pair{o.accept_new_data, "accept_new_data"},
                                   {o.override_plan, "override_plan"},
                                   {o.reset_history, "reset_history"},
                                   {o.ignore_optimizer, "ignore_optimizer"},
                                   {o.checkpoint != "auto", "checkpoint"}})
    if (given && !o.resume)
      misuse(fmt::format("{} has a meaning only with resume", key),
             "add --resume, or leave it out");
  if (o.initial_model.empty()) return;
  request.initial_checkpoint = checkpoint_or_run(o.initial_model);
}

// Weights mean what the tokenizer that they were trained with means.
void compare_tokenizer(const std::string& checkpoint, const std::string& name,
                       TrainRequest& request) {
  const RunState state = load_state(checkpoint);
  for (const StageRun& stage : request.stages)
    for (const Corpus& corpus : stage.corpora) {
      if (corpus.tokenizer() == nullptr || !has_other_tokenizer(state, *corpus.tokenizer()))
        continue;
      request.notices.push_back(fmt::format(
          "{} was trained with another tokenizer than {}'s: the same ids mean other text", name,
          corpus.name()));
      return;
    }
}

void compare_tokenizers(TrainRequest& request) {
  const TrainOptions& o = request.options;
  if (!request.initial_checkpoint.empty())
    compare_tokenizer(request.initial_checkpoint, o.initial_model, request);
  if (!request.initial_part.checkpoint.empty())
    compare_tokenizer(request.initial_part.checkpoint, o.initial_part, request);
}

// Weights go by their parts' numbers, into the first stage and from each to the next.
void compare_blocks(TrainRequest& request) {
  const StageRun& first = request.stages.front();
  if (!request.initial_checkpoint.empty()) {
    const RunState state = load_state(request.initial_checkpoint);
    const std::string& name = request.options.initial_model;
    const WeightsBetween weights = compare_wirings(state.config.model, first.config.model);
    if (weights == WeightsBetween::kExchanged)
      misuse(fmt::format("{} was trained with wiring = {}, and here its parts would have each "
                         "other's weights: wiring = {}",
                         name, in_quotes(block_text(state.config.model)),
                         in_quotes(block_text(first.config.model))),
             "give the wiring as that run's config.toml has it");
    if (weights == WeightsBetween::kOther)
      request.notices.push_back(
          fmt::format("{} was trained with other blocks, {} and not {}: "
                      "parts take the weights of those with their names",
                      name, block_text(state.config.model), block_text(first.config.model)));
  }
  for (size_t i = 1; i < request.stages.size(); ++i) {
    const StageRun& before = request.stages[i - 1];
    const StageRun& stage = request.stages[i];
    if (compare_wirings(before.config.model, stage.config.model) == WeightsBetween::kExchanged)
      misuse(fmt::format("the stage {} has wiring = {}, and its parts would have each other's "
                         "weights: before it is {}",
                         in_quotes(stage.name), in_quotes(block_text(stage.config.model)),
                         in_quotes(block_text(before.config.model))),
             "give both stages the wiring with the same numbers");
  }
}

// Of every stage: the largest one fits, and what freeze and parameter_groups name is there.
void check_stages(const TrainRequest& request) {
  for (const StageRun& stage : request.stages) {
    require_memory(stage.config, request.vocab_size, /*training=*/true);
    parameter_settings(stage.config.optimizer,
                       parameter_table(stage.config.model, request.vocab_size));
  }
}

// The stage where the run begins, or stands.
const StageRun& present_stage(const TrainRequest& request) {
  if (request.resume)
    for (const StageRun& stage : request.stages)
      if (stage.name == request.resume->state.stage) return stage;
  return request.stages.front();
}

// Ids that the run's texts may have.
int64_t text_vocab(const TrainRequest& request) {
  return request.config.model.ahead.text_vocab(request.vocab_size);
}

// Those that do not say their vocabulary are of the run's.
void settle_vocabularies(TrainRequest& request) {
  for (StageRun& stage : request.stages)
    for (Corpus& corpus : stage.corpora)
      if (corpus.vocab_size() == 0) corpus.assume_vocab_size(text_vocab(request));
  request.corpus = present_stage(request).corpora.front();
}

// What `list` was given in vain: every stage has its own, and none has that.
void tell_idle_keys(const TrainingPlan& plan, const FieldList& list, TrainRequest& request) {
  for (const std::string& key : keys_of_every_stage(plan)) {
    if (!list.given(key)) continue;
    const std::string given = as_override(*list.find(key));
    if (std::none_of(plan.stages.begin(), plan.stages.end(),
                     [&](const Stage& stage) { return override_of(stage, key) == given; }))
      request.notices.push_back(
          fmt::format("{} has no effect: every stage of the training plan has its own", key));
  }
  if (list.given("max_iters"))
    request.notices.emplace_back(
        "max_iters has no effect: the stages of the training plan say how long they are");
}

// request.config, resolved, becomes the stages of the run.
void make_stages(TrainRequest& request, std::optional<TrainingPlan> plan, const FieldList& list) {
  // Who takes other data means that which is here.
  RunData data;
  if (request.resume && !request.options.accept_new_data)
    data = RunData(request.resume->checkpoint, request.resume->state);
  if (plan && !plan->stages.empty()) {
    tell_idle_keys(*plan, list, request);
    request.stages = resolve_plan(*plan, request.config, request.notices, data);
    request.plan = completed(*plan, request.config, request.stages);
  } else {
    const Budget budget = {Budget::Unit::kSteps,
                           static_cast<double>(request.config.training.max_iters)};
    try {
      request.stages = {
          {"", request.config, budget, open_data(request.config, request.notices, data)}};
    } catch (const Error& e) {
      throw with_data_beside(e, request.config.data.dataset, *list.find("dataset"));
    }
  }
  // With reset_history the run begins with its first stage.
  if (request.resume && request.options.reset_history)
    request.resume->state.stage = request.stages.front().name;
  std::vector<Corpus> all;
  for (const StageRun& stage : request.stages)
    all.insert(all.end(), stage.corpora.begin(), stage.corpora.end());
  for (std::string& notice : keys_without_rows(list, all))
    request.notices.push_back(std::move(notice));
  const StageRun& present = present_stage(request);
  request.config = present.config;
  request.corpus = present.corpora.front();
}

// Those of --nproc are not started where there is nothing to do.
bool meets_others(const Launch& launch) {
  return launch.size > 1 && launch.file.empty();
}

// Nothing: the run is complete, which has been said.
std::optional<TrainRequest> finish_resume(TrainRequest request) {
  Resumption& plan = *request.resume;
  const bool starts_plan = request.options.reset_history && !request.plan.stages.empty();
  check_data(plan, present_stage(request).corpora, request.options.accept_new_data || starts_plan);
  if (request.options.reset_history) drop_history(plan);
  if (is_done(plan, request.stages)) {
    const int64_t max_iters = request.config.training.max_iters;
    const std::string why =
        request.plan.stages.empty()
            ? fmt::format("max_iters is {}; a larger one would go on", with_commas(max_iters))
            : fmt::format("the last stage of {} is done; --override_plan takes a longer plan",
                          visible(request.plan.name));
    request.complete =
        fmt::format("{} is complete: {} made and {}", visible(request.options.run_name),
                    counted(plan.state.step, "step was", "steps were"), why);
    if (meets_others(request.launch)) return request;
    fmt::print("{}\n", fitted(stdout, request.complete));
    return std::nullopt;
  }
  request.vocab_size = plan.state.vocab_size;
  check_stages(request);
  settle_vocabularies(request);
  for (const StageRun& stage : request.stages)
    for (const Corpus& corpus : stage.corpora)
      if (corpus.vocab_size() > text_vocab(request))
        misuse(fmt::format("the corpus {} has a vocabulary of {}, the run one of {}", corpus.name(),
                           corpus.vocab_size(), text_vocab(request)),
               "a run goes on with data of its own tokenizer");
  return request;
}

// Of a new run.
void settle_vocabulary(TrainRequest& request) {
  int64_t known = 0;
  const Corpus* silent = nullptr;
  for (const StageRun& stage : request.stages)
    for (const Corpus& corpus : stage.corpora) {
      known = std::max(known, corpus.vocab_size());
      if (corpus.vocab_size() == 0) silent = &corpus;
    }
  request.vocab_size = settled_vocab_size(request.config, known);
  check_stages(request);
  if (silent != nullptr && !request.config.model.backbone.vocab_size)
    request.notices.push_back(
        fmt::format("{} does not say its vocabulary: taking {}, --vocab_size sets another",
                    silent->name(), text_vocab(request)));
  settle_vocabularies(request);
}

}  // namespace

std::optional<TrainingPlan> asked_plan(TrainRequest& request) {
  const TrainOptions& o = request.options;
  if (o.training_plan.empty() && o.override_plan)
    misuse("override_plan takes a training plan in place of the run's own, and none is given",
           "add --training_plan=FILE, or leave it out");
  if (o.training_plan.empty()) return std::nullopt;
  WrittenPlan written = find_plan(o.training_plan, request.config.preset);
  for (std::string& notice : written.notices) request.notices.push_back(std::move(notice));
  return std::move(written.plan);
}

RunPlan run_of(const TrainRequest& request) {
  RunPlan run = {request.stages, nullptr};
  if (!request.plan.stages.empty())
    run.written = std::make_shared<const nlohmann::json>(request.plan);
  return run;
}

int64_t total_steps(const TrainRequest& request) {
  int64_t total = 0;
  for (const StageRun& stage : request.stages) {
    const Forecast f = forecast(stage);
    const bool is_known = f.steps && (!f.is_estimate || stage.budget.unit == Budget::Unit::kSteps);
    if (!is_known || __builtin_add_overflow(total, *f.steps, &total)) return 0;
  }
  return total;
}

std::optional<TrainRequest> settle_request(TrainRequest& request, std::optional<TrainingPlan> plan,
                                           const FieldList& list) {
  check_start(request);
  request.options.keeps_log_lines = list.given("log_interval");
  make_stages(request, std::move(plan), list);
  compare_blocks(request);
  for (const StageRun& stage : request.stages)
    require_shares(stage.config, request.options.ranks,
                   std::max<int64_t>(request.launch.size, request.options.nproc));
  if (request.resume) {
    tell_changes(*request.resume, present_stage(request), request.options);
    return finish_resume(std::move(request));
  }
  settle_vocabulary(request);
  const StageRun& first = request.stages.front();
  request.begin_anew = begins_anew(request.initial_checkpoint, first.config.model);
  if (const std::string& part = request.options.initial_part; !part.empty())
    request.initial_part = find_initial_part(part, first.config, request.vocab_size);
  compare_tokenizers(request);
  return std::move(request);
}

}  // namespace fathom
