#include "fathom/train/recipe/registry.h"

#include <fmt/format.h>

#include <algorithm>

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

void set_keys(RunConfig& config, const std::vector<std::pair<std::string, std::string>>& values) {
  FieldList list;
  add_fields(list, config);
  for (const auto& [key, text] : values) list.set_text(key, text, "a preset");
}

}  // namespace fathom
