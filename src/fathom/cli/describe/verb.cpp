// `fathom describe EXPERIMENT [config files] [--key=value ...]`
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "fathom/cli/verbs.h"
#include "fathom/io/json_text.h"
#include "fathom/train/recipe/consequences.h"
#include "fathom/train/recipe/description.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/run_arguments.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {
namespace {

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
  const std::optional<DescribedRun> run = described_run(name);
  if (!name.empty() && !run) require_preset(name);
  if (!name.empty()) config = run ? run->state.config : preset_config(name);
  const auto settings = line.parse(arguments, make_list());
  if (!settings) return 0;
  if (run) preset = run->state.config.preset;
  config = run ? run->state.config : preset_config(preset);
  FieldList list = make_list();
  std::vector<std::string> notices = apply_settings(*settings, preset, list);
  for (std::string& notice : resolve(list, config)) notices.push_back(std::move(notice));
  if (!run)
    if (std::string note = rate_left_high(list, config); !note.empty())
      notices.push_back(std::move(note));
  if (run)
    for (std::string& change : changes(run->state.config, config))
      notices.push_back(std::move(change));
  if (json)
    fmt::print("{}\n", json_text(description_json(config, run), 2));
  else
    print_description(config, notices, run);
  return 0;
}

}  // namespace

Verb verb_describe() {
  return {"describe", "a preset's size, cost and settings", 20, run_describe};
}

}  // namespace fathom
