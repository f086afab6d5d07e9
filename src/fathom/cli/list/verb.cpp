// `fathom list`
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/cli/list/list.h"
#include "fathom/cli/verbs.h"
#include "fathom/io/json_text.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/track/terminal.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/run_arguments.h"

namespace fathom {
namespace {

int64_t preset_parameters(const Preset& preset) {
  const RunConfig config = preset_config(preset.name);
  const int64_t vocab = settled_vocab_size(config, likely_corpus_vocab(config.data.dataset));
  return parameter_count(parameter_table(config.model, vocab));
}

// Presets of one experiment that say the same of themselves, by what they say; in their order.
struct SameSaid {
  std::string summary;
  std::vector<const Preset*> presets;
};

std::vector<SameSaid> by_summary(const std::string& experiment) {
  std::vector<SameSaid> all;
  for (const Preset& preset : registry().presets()) {
    if (preset.experiment != experiment) continue;
    const auto known = std::find_if(all.begin(), all.end(), [&](const SameSaid& same) {
      return same.summary == preset.summary;
    });
    if (known == all.end())
      all.push_back({preset.summary, {&preset}});
    else
      known->presets.push_back(&preset);
  }
  return all;
}

// Many that say the same: once, and their names in columns.
void print_names(const SameSaid& same) {
  size_t width = 0;
  for (const Preset* preset : same.presets) width = std::max(width, preset->name.size());
  const size_t columns = std::max<size_t>(1, 100 / (width + 3));
  fmt::print("  {}:", same.summary);
  for (size_t i = 0; i < same.presets.size(); ++i)
    fmt::print("{}  {:<{}} ", i % columns == 0 ? "\n" : "", same.presets[i]->name, width);
  fmt::print("\n");
}

// An experiment that is being written must not hide the others.
void print_preset(const Preset& preset) {
  std::string size, said = preset.summary;
  try {
    size = human_count(static_cast<double>(preset_parameters(preset)));
  } catch (const Error& e) {
    said = fmt::format("cannot be used: {}", e.what());
  }
  fmt::print("  {:<26}{:>9}  {}\n", preset.name, size, said);
}

nlohmann::json list_json() {
  nlohmann::json out = nlohmann::json::array();
  for (const Preset& preset : registry().presets())
    out.push_back({{"name", preset.name},
                   {"experiment", preset.experiment},
                   {"summary", preset.summary},
                   {"parameters", preset_parameters(preset)}});
  return out;
}

}  // namespace

int run_list(const Arguments& arguments) {
  CommandLine line("list", "[--json]", "Every experiment and its presets.", "fathom list");
  bool json = false;
  FieldList fields;
  fields.section("output");
  fields.add("json", json, "print one JSON list");
  if (!parse_into(line, arguments, fields)) return 0;
  if (json) {
    fmt::print("{}\n", json_text(list_json(), 2));
    return 0;
  }
  const Style style(stdout);
  for (const Registry::Experiment& experiment : registry().experiments()) {
    fmt::print("{}: {}\n", style.bold(experiment.name), experiment.idea);
    const std::vector<SameSaid> all = by_summary(experiment.name);
    for (const SameSaid& same : all) {
      if (same.presets.size() > 1)
        print_names(same);
      else
        print_preset(*same.presets.front());
    }
  }
  fmt::print("\n`fathom describe NAME` shows one whole, `fathom train NAME` trains it.\n");
  return 0;
}

Verb verb_list() {
  return {"list", "every experiment and its presets", 10, run_list};
}

}  // namespace fathom
