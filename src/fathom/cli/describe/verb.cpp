// `fathom describe EXPERIMENT [config files] [--key=value ...]`
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/cli/verbs.h"
#include "fathom/io/json_text.h"
#include "fathom/train/recipe/description.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/run_arguments.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {
namespace {

int run_describe(const Arguments& arguments) {
  CommandLine line("describe", "EXPERIMENT [CONFIG_FILE ...] [--key=value ...]",
                   "A preset's size, cost and settings, after any changes to it.",
                   "fathom describe " + registry().example() + " --num-blocks 2 --embed-dim 128");
  std::string preset, config_file;
  bool json = false;
  RunConfig config;
  line.positional("EXPERIMENT", preset, "a preset that `fathom list` shows");
  line.suggests(suggested_presets);
  line.takes_config_files();
  const auto make_list = [&] {
    FieldList list;
    list.section("output");
    list.add("json", json, "print one JSON object").usual();
    list.add("config", config_file, "a TOML or nanoGPT config file; a bare path does the same");
    add_fields(list, config);
    return list;
  };
  if (const std::string name = named_preset(arguments); !name.empty()) config = preset_config(name);
  const auto settings = line.parse(arguments, make_list());
  if (!settings) return 0;
  config = preset_config(preset);
  FieldList list = make_list();
  std::vector<std::string> notices = apply_settings(*settings, preset, list);
  for (std::string& notice : resolve(list, config)) notices.push_back(std::move(notice));

  if (!json) {
    print_description(config, notices);
    return 0;
  }
  fmt::print("{}\n", json_text(description_json(config), 2));
  return 0;
}

}  // namespace

Verb verb_describe() {
  return {"describe", "a preset's size, cost and settings", 20, run_describe};
}

}  // namespace fathom
