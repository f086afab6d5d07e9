// `fathom describe EXPERIMENT [config files] [--key=value ...]`
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "fathom/base/text.h"
#include "fathom/cli/verbs.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/track/run_folder.h"
#include "fathom/train/recipe/description.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/run_arguments.h"
#include "fathom/train/recipe/run_checkpoint.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {
namespace {

// A run in the experiment's place: its configuration as it was trained last. Nothing: `name` is no
// run.
std::optional<RunState> state_of_run(const std::string& name) {
  if (name.empty() || registry().has(name)) return std::nullopt;
  const std::string path = home_expanded(name);
  const std::string folder = kind_of(path) == PathKind::kFolder ? path : runs_root() + "/" + name;
  const FolderUse use = folder_use(folder);
  if (use != FolderUse::kRun && use != FolderUse::kHeld) return std::nullopt;
  return verified_state(run_checkpoint(name, "auto"));
}

int run_describe(const Arguments& arguments) {
  CommandLine line("describe", "EXPERIMENT [CONFIG_FILE ...] [--key=value ...]",
                   "The size, cost and settings of a preset, or of a run, after any changes to it.",
                   "fathom describe " + registry().example() + " --num-blocks 2 --embed-dim 128");
  std::string preset, config_file;
  bool json = false;
  RunConfig config;
  line.positional("EXPERIMENT", preset, "a preset that `fathom list` shows, or a run");
  line.suggests([] {
    std::vector<Suggestion> words = suggested_presets();
    const std::vector<Suggestion> runs = suggested_runs();
    words.insert(words.end(), runs.begin(), runs.end());
    return words;
  });
  line.takes_config_files();
  const auto make_list = [&] {
    FieldList list;
    list.section("output");
    list.add("json", json, "print one JSON object").usual();
    list.add("config", config_file, "a TOML or nanoGPT config file; a bare path does the same");
    add_fields(list, config);
    return list;
  };
  const std::string name = named_preset(arguments);
  const std::optional<RunState> run = state_of_run(name);
  if (!name.empty()) config = run ? run->config : preset_config(name);
  const auto settings = line.parse(arguments, make_list());
  if (!settings) return 0;
  if (run) preset = run->config.preset;
  config = run ? run->config : preset_config(preset);
  FieldList list = make_list();
  std::vector<std::string> notices = apply_settings(*settings, preset, list);
  for (std::string& notice : resolve(list, config)) notices.push_back(std::move(notice));
  if (run)
    notices.insert(notices.begin(), fmt::format("the run {}, a {}: {} of {}", escaped(name), preset,
                                                counted(run->step, "step"),
                                                with_commas(run->config.training.max_iters)));

  const int64_t vocabulary = run ? text_vocab(*run) : 0;
  if (!json) {
    print_description(config, notices, vocabulary);
    return 0;
  }
  fmt::print("{}\n", json_text(description_json(config, vocabulary), 2));
  return 0;
}

}  // namespace

Verb verb_describe() {
  return {"describe", "a preset's size, cost and settings", 20, run_describe};
}

}  // namespace fathom
