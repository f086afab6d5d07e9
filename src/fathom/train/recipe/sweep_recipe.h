// Sweep recipes: settings times seeds, as a table of runs. TOML:
//
//   preset = "quickstart"          of every run
//   seeds = [1, 2, 3]              each setting with each of them: the same data, the same draws
//   budget = {steps = 500}         or epochs, samples, tokens, minutes; left out: the preset's
//   name = "width"                 of the sweep; left out: the file's
//
//   [base]                         what holds for every run, as in a config file
//   n_layer = 4
//
//   [grid]                         every combination of these lists
//   n_embd = [64, 128]
//   dropout = [0.0, 0.1]
//
//   [[settings]]                   in place of a grid: one by one
//   name = "wide"                  of the setting
//   preset = "gpt2"                where it is not the sweep's
//   n_embd = 256
//
//   plan = "FILE"                  in place of a budget: a training plan's file or name, or its
//   [[stages]]                     stages: the `steps` of a plan's first form (training_plan.h),
//   [stages.NAME]                  or its second form
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fathom {

inline constexpr size_t kMostSweepRuns = 1000;

struct SweepSetting {
  std::string name;       // part of its runs' names; empty: the sweep has one setting
  bool is_named = false;  // by the recipe, and not after its values
  std::string preset;
  // Keys and values as on the command line, the base's first.
  std::vector<std::pair<std::string, std::string>> values;
};

struct SweepRecipe {
  std::string name;
  std::vector<int64_t> seeds;
  std::vector<SweepSetting> settings;  // at least one
  std::string plan;                    // a training plan's file or name; empty: none
  std::string plan_json;               // the recipe's own plan, in JSON; empty: none
};

// `file`: its path, for errors and the name. Every key and value is checked by its preset's fields,
// one by one; what they mean together is the trainer's request to say. Throws Error(kUsage) that
// names file, key and what is allowed.
SweepRecipe read_sweep(std::string_view text, const std::string& file);
std::string read_sweep_text(const std::string& path);
SweepRecipe read_sweep_file(const std::string& path);

struct SweepRun {
  std::string name;     // "width-wide-s1"
  std::string setting;  // SweepSetting::name
  int64_t seed = 0;
  // What `fathom train` is given; the first word is the preset.
  std::vector<std::string> words;
};

// A run for each setting and seed; all settings of a seed before the next seed, so that what a
// sweep has so far can be compared. `plan_file`: where plan_json is.
std::vector<SweepRun> runs_of(const SweepRecipe& recipe, const std::string& plan_file);

}  // namespace fathom
