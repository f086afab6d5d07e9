#include "fathom/cli/train/request.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/processors.h"
#include "fathom/base/text.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/track/console.h"
#include "fathom/track/guarded.h"
#include "fathom/track/run_folder.h"
#include "fathom/train/recipe/consequences.h"
#include "fathom/train/recipe/description.h"
#include "fathom/train/recipe/launched_run.h"
#include "fathom/train/recipe/preset_list.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/run_arguments.h"
#include "fathom/train/recipe/suggested_words.h"
#include "fathom/train/recipe/training_plan.h"

namespace fathom {
namespace {

// Where no experiment was named. Who goes on with a run finds it in the hint.
[[noreturn]] void refuse_missing(const std::vector<CommandLine::Setting>& settings) {
  TrainOptions options;
  FieldList list;
  add_fields(list, options);
  for (const auto& setting : settings)
    if (list.find(setting.key) != nullptr) list.set_text(setting.key, setting.text, setting.origin);
  take_name_of_out_dir(options);
  const std::string sentence = "EXPERIMENT is missing: a preset that `fathom list` shows";
  const std::string& run = options.run_name;
  if (!options.resume && options.init_from != "resume")
    misuse(sentence, "for example: fathom train " + registry().example() + " --max_iters=500");
  if (run.empty())
    misuse(sentence, resume_line(run) + " goes on with a run; `fathom runs` shows them");
  if (run.find('/') == std::string::npos) require_run(run, /*preset=*/"");
  const std::string folder = run.find('/') != std::string::npos
                                 ? resolve_run(run, /*takes_checkpoint=*/true)
                                 : run_folder(run);
  std::string line = resume_line(run);
  if (newest_complete(folder + "/checkpoints")) misuse(sentence, line + " goes on with it");
  const std::string resume = "--resume";
  line.replace(line.rfind(resume), resume.size(), "--force");
  misuse(sentence,
         fmt::format("{} has no checkpoint to go on from: {} starts it afresh", folder, line));
}

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
  if (!preset.empty()) return require_preset(preset);
  refuse_missing(settings);
}

}  // namespace

std::optional<TrainRequest> parse_train(const Arguments& arguments) {
  return parse_train_of_rank(arguments, {});
}

std::optional<TrainRequest> parse_train_of_rank(const Arguments& arguments,
                                                std::optional<bool> first_goes_on) {
  CommandLine line("train", "EXPERIMENT [CONFIG_FILE ...] [--key=value ...]",
                   "Train a model. Later words win over earlier ones.",
                   "fathom train " + registry().example() + " --max_iters=500");
  std::string preset, config_file;
  line.positional("EXPERIMENT", preset, "a preset that `fathom list` shows", /*required=*/false);
  line.suggests(suggested_presets);
  line.takes_config_files();

  TrainRequest request;
  std::optional<Error> no_launch;  // told where ranks would be needed
  try {
    request.launch = launch_of(process_environment());
  } catch (const Error& error) {
    no_launch = error;
  }
  speak_as_rank(request.launch.rank);
  // Once they have met, what ends one of them is not what ends all.
  if (!first_goes_on) delay_errors(patience_with_errors(request.launch));
  leave_errors_in(request.launch.error_file);
  const auto make_list = [&] {
    FieldList list;
    add_fields(list, request.options);
    for (const char* key : {"reduce_dtype", "shard_optimizer"})
      list.find(key)->needs("several ranks (nproc, or a launcher)", [&request] {
        return request.options.nproc > 1 || request.launch.size > 1;
      });
    list.add("config", config_file, "a TOML or nanoGPT config file; a bare path does the same")
        .path();
    add_fields(list, request.config);
    add_needs_of_part(list, request.config.model, request.options);
    return list;
  };
  const std::string named = named_preset(arguments);
  if (named == "list") {
    print_presets();
    return std::nullopt;
  }
  if (!named.empty()) require_preset(named), request.config = preset_config(named);
  auto settings = line.parse(arguments, make_list());
  if (!settings) return std::nullopt;

  settle_experiment(*settings, preset);
  request.config = preset_config(preset);
  FieldList list = make_list();
  request.notices = apply_settings(*settings, preset, list);
  if (request.options.init_from == "resume") request.options.resume = true;
  if (no_launch && !request.options.describe) throw *no_launch;
  settle_launch(request.launch, request.options, first_goes_on);
  if (auto note = crowding_note(request.launch, allowed_processors()))
    request.notices.push_back(std::move(*note));
  if (request.options.resume || !request.options.describe) settle_run_name(preset, request.options);
  const std::string& folder = request.options.out_dir;
  if (folder.find('/') != folder.npos)
    request.notices.push_back(
        fmt::format("out_dir = {} gives the run a name, not a place: it is {}", folder,
                    run_folder(request.options.run_name)));
  std::optional<TrainingPlan> plan = asked_plan(request);
  if (request.options.resume) {
    // Once more, over the run's own configuration in place of the preset's.
    request.resume = find_checkpoint(request.options.run_name, request.options.checkpoint, preset);
    const TrainOptions options = request.options;
    request.config = request.resume->state.config;
    list = make_list();
    apply_settings(*settings, preset, list);
    request.options = options;  // as settled
    plan = plan_of(*request.resume, plan ? &*plan : nullptr, request.options.override_plan);
    keep_architecture(*request.resume, list);
  }
  for (std::string& notice : resolve(list, request.config))
    request.notices.push_back(std::move(notice));
  if (!request.resume && !plan)  // whose stages have their own lengths
    if (std::string note = rate_left_high(list, request.config); !note.empty())
      request.notices.push_back(std::move(note));
  if (request.options.describe) {
    std::optional<DescribedRun> run;
    if (request.resume)
      run = DescribedRun{request.options.run_name, state_to_go_on(request, *plan)};
    print_description(request.config, request.notices, run);
    if (plan && !plan->stages.empty()) print_plan(*plan);
    return std::nullopt;
  }
  return settle_request(request, std::move(plan), list);
}

}  // namespace fathom
