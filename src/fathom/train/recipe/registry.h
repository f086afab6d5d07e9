// Named presets of the experiments. Each folder in experiments/ registers its own.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "fathom/train/recipe/run_config.h"

namespace fathom {

struct Preset {
  std::string name;
  std::string summary;  // one line for `fathom list`
  std::function<void(RunConfig&)> apply;
  std::string experiment;  // filled in by Registry
};

// A config file that an experiment ships, part of the program: `config/<stem>.toml` in its folder,
// or `config/<stem>.py` of nanoGPT's lines.
struct ShippedConfig {
  std::string experiment, stem, text;
  std::string ending = ".toml";  // decides how it is read
};

// Likewise a training plan: `plans/<stem>.json`, or .toml.
using ShippedPlan = ShippedConfig;

class Registry {
 public:
  // The presets added next belong to this experiment (a folder name) with this one-line idea.
  void experiment(std::string name, std::string idea);
  void add(std::string name, std::string summary, std::function<void(RunConfig&)> apply);
  // The preset that help and hints take for their examples.
  void set_example(std::string name) { example_ = std::move(name); }
  const std::string& example() const { return example_; }
  void add_config(ShippedConfig config) { configs_.push_back(std::move(config)); }
  void add_plan(ShippedPlan plan) { plans_.push_back(std::move(plan)); }

  struct Experiment {
    std::string name, idea;
  };
  const std::vector<Experiment>& experiments() const { return experiments_; }
  const std::vector<Preset>& presets() const { return presets_; }
  const std::vector<ShippedConfig>& configs() const { return configs_; }
  bool has(const std::string& preset) const;
  // Throws Error(kUsage) with the nearest name.
  const Preset& preset(const std::string& name) const;
  // The experiment's own file of that stem, else any experiment's; null if there is none.
  const ShippedConfig* config(const std::string& experiment, const std::string& stem) const;
  const ShippedPlan* plan(const std::string& experiment, const std::string& stem) const;
  const std::vector<ShippedPlan>& plans() const { return plans_; }

 private:
  std::vector<Experiment> experiments_;
  std::vector<Preset> presets_;
  std::vector<ShippedConfig> configs_;
  std::string example_ = "EXPERIMENT";
  std::vector<ShippedPlan> plans_;
};

// All experiments of this build.
const Registry& registry();

// A run's configuration as the preset alone makes it.
RunConfig preset_config(const std::string& name);

// Of a key that not every preset has: which have it, and what explains it. Empty: none has.
std::string presets_with_key(const std::string& key);

// For presets: keys with values as a user would type them, one after the other. What a key refuses
// it refuses here: throws Error(kUsage) that names key and value.
void set_keys(RunConfig& config, const std::vector<std::pair<std::string, std::string>>& values);

}  // namespace fathom
