#include "fathom/train/recipe/preset_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/track/terminal.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/run_arguments.h"

namespace fathom {
namespace {

int64_t preset_parameters(const Preset& preset) {
  const RunConfig config = preset_config(preset.name);
  const int64_t vocab = settled_vocab_size(config, likely_corpus_vocab(config));
  return parameter_count(parameter_table(config.model, vocab));
}

constexpr std::string_view kSmall = "_small";

// NAME_small of a preset NAME of the same experiment.
bool is_small_one(const Preset& preset) {
  const std::string& name = preset.name;
  if (name.size() <= kSmall.size() || name.substr(name.size() - kSmall.size()) != kSmall)
    return false;
  const std::string full = name.substr(0, name.size() - kSmall.size());
  const std::vector<Preset>& all = registry().presets();
  return std::any_of(all.begin(), all.end(), [&](const Preset& other) {
    return other.name == full && other.experiment == preset.experiment;
  });
}

constexpr int kSaidAt = 39;  // the column where summaries begin

// An experiment that is being written must not hide the others.
void print_preset(const Preset& preset) {
  std::string size, said = preset.summary;
  try {
    size = human_count(static_cast<double>(preset_parameters(preset)));
  } catch (const Error& e) {
    said = fmt::format("cannot be used: {}", e.what());
  }
  const std::string head = fmt::format("  {:<26}{:>9}", preset.name, size);
  const bool is_long = text_width(head) + 2 > kSaidAt;
  fmt::print("{}{}{}\n", head, is_long ? fmt::format("\n{:{}}", "", kSaidAt) : "  ",
             hanging(said, kSaidAt, terminal_width(stdout)));
}

}  // namespace

nlohmann::json presets_json() {
  nlohmann::json out = nlohmann::json::array();
  for (const Preset& preset : registry().presets())
    out.push_back({{"name", preset.name},
                   {"experiment", preset.experiment},
                   {"summary", preset.summary},
                   {"parameters", preset_parameters(preset)}});
  return out;
}

void print_presets() {
  const Style style(stdout);
  for (const Registry::Experiment& experiment : registry().experiments()) {
    fmt::print("{}: {}\n", style.bold(experiment.name),
               hanging(experiment.idea, text_width(experiment.name) + 2, terminal_width(stdout)));
    int small = 0;
    for (const Preset& preset : registry().presets()) {
      if (preset.experiment != experiment.name) continue;
      if (is_small_one(preset))
        ++small;
      else
        print_preset(preset);
    }
    if (small > 0) fmt::print("  and {} of these as NAME{} too, smaller\n", small, kSmall);
  }
  fmt::print("\n`fathom describe NAME` shows one whole, `fathom train NAME` trains it.\n");
}

}  // namespace fathom
