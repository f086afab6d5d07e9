#include "fathom/cli/train/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/cli/describe/describe.h"
#include "fathom/cli/fits_memory.h"
#include "fathom/cli/list/list.h"
#include "fathom/cli/model_choice.h"
#include "fathom/cli/run_arguments.h"
#include "fathom/track/run_folder.h"
#include "fathom/train/recipe/parameter_groups.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {
namespace {

void settle_run_name(const std::string& preset, TrainOptions& options) {
  if (options.run_name.empty() && !options.out_dir.empty()) {
    const std::filesystem::path path = std::filesystem::path(options.out_dir).lexically_normal();
    options.run_name = path.has_filename() ? path.filename() : path.parent_path().filename();
  }
  if (options.run_name.empty() && options.resume)
    misuse("resume needs to know the run", "add --run_name=NAME; `ls runs` shows them");
  options.is_unnamed = options.run_name.empty();
  if (options.is_unnamed) options.run_name = default_run_name(preset);
  check_run_name(options.run_name);
  const std::string folder = run_folder(options.run_name);
  const FolderUse use = folder_use(folder);
  if (use == FolderUse::kOther && !options.resume)
    misuse(fmt::format("{} is there and is no run", folder),
           "choose another --run_name, or move what is there away");
  const bool is_free = use == FolderUse::kFree || use == FolderUse::kLeftOver;
  if (!is_free && !options.force && !options.resume)
    misuse(fmt::format("the run {} exists already: {}", options.run_name, folder),
           "go on with it by --resume, choose another --run_name, or remove it with --force");
}

Corpus open_corpus(const std::string& dataset) {
  if (!dataset.empty()) return Corpus::open(dataset);
  const std::vector<std::string> prepared = prepared_corpora();
  misuse("dataset is missing: this preset has no corpus of its own",
         prepared.empty() ? "prepare one with `fathom prepare shakespeare_char`, then add "
                            "--dataset=shakespeare_char"
                          : "add --dataset=NAME; prepared: " + join(prepared, ", "));
}

// What the weights start from.
void check_start(TrainRequest& request) {
  const TrainOptions& o = request.options;
  if (o.resume && !o.initial_model.empty())
    misuse("resume and initial_model both say where the weights come from",
           "a resumed run has its own; leave out one of them");
  if (o.resume && o.force)
    misuse("resume goes on with the run, force removes it", "leave out one of them");
  for (const auto& [given, key] : {std::pair{o.accept_new_data, "accept_new_data"},
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
void compare_tokenizers(TrainRequest& request) {
  if (request.initial_checkpoint.empty() || request.corpus.tokenizer() == nullptr) return;
  if (has_other_tokenizer(load_state(request.initial_checkpoint), *request.corpus.tokenizer()))
    request.notices.push_back(
        fmt::format("{} was trained with another tokenizer than {}'s: the same ids mean other text",
                    request.options.initial_model, request.corpus.name()));
}

// Throws where freeze or parameter_groups names what there is not.
void check_parameters(const TrainRequest& request) {
  parameter_settings(request.config.optimizer,
                     parameter_table(request.config.model, request.vocab_size));
}

// Nothing: the run is complete, which has been said.
std::optional<TrainRequest> finish_resume(TrainRequest request) {
  Resumption& plan = *request.resume;
  check_data(plan, request.corpus, request.options.accept_new_data);
  if (request.options.reset_history) {
    plan.lines.emplace_back(
        "the history is dropped: weights and moments stay, step and data begin anew");
    plan.state.step = 0;
    plan.state.evaluated_step = -1;
  }
  if (plan.is_done()) {
    fmt::print("{} is complete: {} steps were made and max_iters is {}; a larger one would go on\n",
               request.options.run_name, with_commas(plan.state.step),
               with_commas(request.config.training.max_iters));
    return std::nullopt;
  }
  request.vocab_size = plan.state.vocab_size;
  require_memory(request.config, request.vocab_size, /*training=*/true);
  check_parameters(request);
  if (request.corpus.vocab_size() == 0) request.corpus.assume_vocab_size(request.vocab_size);
  if (request.corpus.vocab_size() > request.vocab_size)
    misuse(fmt::format("the corpus {} has a vocabulary of {}, the run one of {}",
                       request.corpus.name(), request.corpus.vocab_size(), request.vocab_size),
           "a run goes on with data of its own tokenizer");
  return request;
}

}  // namespace

void add_fields(FieldList& list, TrainOptions& o) {
  list.section("run");
  list.add("exp", o.exp, "LMPlay's spelling of EXPERIMENT; `list` shows them");
  list.add("describe", o.describe,
           "say what would be trained, as `fathom describe` does, and stop");
  list.add("run_name", o.run_name, "folder below runs/, empty: the preset and the time");
  list.add("out_dir", o.out_dir, "nanoGPT's spelling of run_name: its last part").path();
  list.add<std::string>("init_from", o.init_from, "nanoGPT's switch; resume is --resume",
                        {{"scratch", "scratch"}, {"resume", "resume"}});
  list.add("resume", o.resume, "go on with the run from a checkpoint");
  list.add("checkpoint", o.checkpoint,
           "with resume: auto is the newest complete one; last, best, or a numbered one's name");
  list.add("accept_new_data", o.accept_new_data,
           "with resume: another corpus than before, read from its start");
  list.add("initial_model", o.initial_model,
           "a run or a checkpoint's folder whose weights to start from; it is only read")
      .path();
  list.add("reset_history", o.reset_history,
           "with resume: keep the weights, but begin at step 0 of the data and the schedule");
  list.add("ignore_optimizer", o.ignore_optimizer,
           "with resume: what the optimiser keeps begins anew");
  list.add("force", o.force, "remove a run of the same name first");
  list.add("quiet", o.quiet, "no progress, only the outcome");
}

namespace {

// `--exp NAME` in place of the positional word; another word is then a config file.
void settle_experiment(std::vector<CommandLine::Setting>& settings, std::string& preset) {
  std::string named;
  for (const auto& setting : settings)
    if (setting.key == "exp") named = setting.text;
  if (!named.empty() && !preset.empty() && preset != named) {
    if (registry().has(preset))
      misuse(fmt::format("the experiment is {} and {} at once", preset, in_quotes(named)),
             "leave one of them out");
    settings.insert(settings.begin(), {"", preset, preset});
  }
  if (!named.empty()) preset = named;
  if (preset.empty())
    misuse("EXPERIMENT is missing: a preset that `fathom list` shows",
           "for example: fathom train " + registry().example() + " --max_iters=500");
}

}  // namespace

std::optional<TrainRequest> parse_train(const Arguments& arguments) {
  CommandLine line("train", "EXPERIMENT [CONFIG_FILE ...] [--key=value ...]",
                   "Train a model. Later words win over earlier ones.",
                   "fathom train " + registry().example() + " --max_iters=500");
  std::string preset, config_file;
  line.positional("EXPERIMENT", preset, "a preset that `fathom list` shows", /*required=*/false);
  line.takes_config_files();

  TrainRequest request;
  const auto make_list = [&] {
    FieldList list;
    add_fields(list, request.options);
    list.add("config", config_file, "a TOML or nanoGPT config file; a bare path does the same")
        .path();
    add_fields(list, request.config);
    return list;
  };
  const std::string named = named_preset(arguments);
  if (named == "list") {
    run_list({});
    return std::nullopt;
  }
  if (!named.empty()) request.config = preset_config(named);
  auto settings = line.parse(arguments, make_list());
  if (!settings) return std::nullopt;

  settle_experiment(*settings, preset);
  request.config = preset_config(preset);
  FieldList list = make_list();
  request.notices = apply_settings(*settings, preset, list);
  if (request.options.init_from == "resume") request.options.resume = true;
  if (request.options.resume || !request.options.describe) settle_run_name(preset, request.options);
  if (request.options.resume) {
    // Once more, over the run's own configuration in place of the preset's.
    request.resume = find_checkpoint(request.options.run_name, request.options.checkpoint, preset);
    const TrainOptions options = request.options;
    request.config = request.resume->state.config;
    list = make_list();
    apply_settings(*settings, preset, list);
    request.options.run_name = options.run_name;
    request.options.is_unnamed = options.is_unnamed;
    request.options.resume = true;
    settle_changes(*request.resume, list, request.config);
  }
  for (std::string& notice : resolve(list, request.config))
    request.notices.push_back(std::move(notice));
  if (request.options.describe) {
    print_description(request.config, request.notices);
    return std::nullopt;
  }
  check_start(request);
  request.corpus = open_corpus(request.config.data.dataset);
  for (std::string& notice : request.corpus.notices()) request.notices.push_back(std::move(notice));
  for (const char* split : {"train", "val"}) request.corpus.shards(split);  // throws without it
  require_block(request.corpus, request.config.model.backbone.block_size);
  compare_tokenizers(request);
  if (request.resume) return finish_resume(std::move(request));
  request.vocab_size = settled_vocab_size(request.config, request.corpus.vocab_size());
  require_memory(request.config, request.vocab_size, /*training=*/true);
  check_parameters(request);
  if (request.corpus.vocab_size() == 0) {
    request.corpus.assume_vocab_size(request.vocab_size);
    if (!request.config.model.backbone.vocab_size)
      request.notices.push_back(
          fmt::format("{} does not say its vocabulary: taking {}, --vocab_size sets another",
                      request.corpus.name(), request.vocab_size));
  }
  return request;
}

}  // namespace fathom
