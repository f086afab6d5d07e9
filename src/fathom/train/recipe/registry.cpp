#include "fathom/train/recipe/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/architecture.h"

namespace fathom {

void register_experiments(Registry& registry);  // written by cmake/experiments.cmake

void Registry::experiment(std::string name, std::string idea) {
  experiments_.push_back({std::move(name), std::move(idea)});
}

void Registry::add(std::string name, std::string summary, std::function<void(RunConfig&)> apply) {
  if (experiments_.empty()) fail(fmt::format("preset {} belongs to no experiment", name));
  for (const Preset& preset : presets_)
    if (preset.name == name)
      fail(fmt::format("preset {} is registered by {} and by {}", name, preset.experiment,
                       experiments_.back().name));
  presets_.push_back(
      {std::move(name), std::move(summary), std::move(apply), experiments_.back().name});
}

bool Registry::has(const std::string& name) const {
  return std::any_of(presets_.begin(), presets_.end(),
                     [&](const Preset& preset) { return preset.name == name; });
}

const Preset& Registry::preset(const std::string& name) const {
  std::vector<std::string> names;
  for (const Preset& preset : presets_) {
    if (preset.name == name) return preset;
    names.push_back(preset.name);
  }
  const std::string nearest = nearest_name(name, names);
  misuse(fmt::format("unknown experiment {}", in_quotes(name)),
         (nearest.empty() ? "" : fmt::format("did you mean {}? ", nearest)) +
             "`fathom list` shows them all");
}

namespace {

const ShippedConfig* shipped(const std::vector<ShippedConfig>& all, const std::string& experiment,
                             const std::string& stem) {
  const ShippedConfig* found = nullptr;
  for (const ShippedConfig& one : all) {
    if (one.stem != stem) continue;
    if (one.experiment == experiment) return &one;
    if (found == nullptr) found = &one;
  }
  return found;
}

}  // namespace

const ShippedConfig* Registry::config(const std::string& experiment,
                                      const std::string& stem) const {
  return shipped(configs_, experiment, stem);
}

const ShippedPlan* Registry::plan(const std::string& experiment, const std::string& stem) const {
  return shipped(plans_, experiment, stem);
}

const Registry& registry() {
  static const Registry all = [] {
    Registry r;
    register_experiments(r);
    return r;
  }();
  return all;
}

RunConfig preset_config(const std::string& name) {
  RunConfig config;
  const Preset& preset = registry().preset(name);
  config.preset = preset.name;
  preset.apply(config);
  if (config.model.architecture == nullptr) return config;
  FieldList list;
  add_fields(list, config);  // gives the experiment's own settings their values
  check_own_settings(list, *config.model.architecture);
  return config;
}

namespace {

struct OwnKey {
  std::string name, section;  // the first preset's, where two experiments have it
  std::vector<std::string> presets;
};

// The settings that experiments add to those of every model, by name and alias.
std::map<std::string, OwnKey> own_keys() {
  std::map<std::string, OwnKey> keys;
  for (const Preset& preset : registry().presets()) {
    RunConfig config;
    FieldList list;
    try {
      config = preset_config(preset.name);
      if (config.model.architecture == nullptr) continue;
      add_fields(list, config);
    } catch (const Error&) {  // it is refused where it is asked for
      continue;
    }
    for (const Field& field : list.all()) {
      if (field.section() != config.model.architecture->name) continue;
      std::vector<std::string> names = field.aliases();
      names.push_back(field.name());
      for (const std::string& name : names) {
        OwnKey& key = keys[name];
        if (key.presets.empty()) key.name = field.name(), key.section = field.section();
        key.presets.push_back(preset.name);
      }
    }
  }
  return keys;
}

}  // namespace

std::string presets_with_key(const std::string& key) {
  static const std::map<std::string, OwnKey> all = own_keys();
  const auto found = all.find(key);
  if (found == all.end()) return "";
  const auto& [name, section, presets] = found->second;
  constexpr size_t kNamed = 3;
  std::string which;
  for (size_t i = 0; i < std::min(presets.size(), kNamed); ++i)
    which += (i == 0 ? "" : ", ") + presets[i];
  if (presets.size() > kNamed) which += fmt::format(" and {} more", presets.size() - kNamed);
  return fmt::format("{} is a key of {}: `fathom train {} --help={}` explains it", name, which,
                     presets.front(), section);
}

void set_keys(RunConfig& config, const std::vector<std::pair<std::string, std::string>>& values) {
  FieldList list;
  add_fields(list, config);
  list.explain_unknown(nullptr);  // whose answer is looked for in the presets
  for (const auto& [key, text] : values) list.set_text(key, text, "a preset");
}

}  // namespace fathom
