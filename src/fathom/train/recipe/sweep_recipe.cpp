#include "fathom/train/recipe/sweep_recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/config_file.h"
#include "fathom/config/literal.h"
#include "fathom/data/corpus_name.h"
#include "fathom/io/files.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {
namespace {

using nlohmann::ordered_json;
using Values = std::vector<std::pair<std::string, std::string>>;

constexpr const char* kHint =
    "a recipe is TOML: preset, seeds, [base], and [grid] or [[settings]]; "
    "`fathom sweep --help` shows one";
constexpr size_t kMostBytes = 8 << 20;    // of all settings together
constexpr size_t kLongestSweepName = 48;  // of a sweep or a setting

bool is_name(const std::string& text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  return !text.empty() && text.size() <= kLongestSweepName && text[0] != '-' && text[0] != '.' &&
         std::all_of(text.begin(), text.end(), fits);
}

// Part of a run's name: what may not stand there becomes `_`, once for several in a row.
std::string as_name(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (is_name(std::string("x") + c))
      out += c;
    else if (!out.empty() && out.back() != '_')
      out += '_';
  }
  while (!out.empty() && out.back() == '_') out.pop_back();
  return out;
}

class SweepReader {
 public:
  SweepReader(const ordered_json& tree, const std::string& file) : tree_(tree), file_(file) {}

  SweepRecipe read() {
    check_keys();
    if (!tree_.contains("name") && is_nameless(file_))
      refuse("the recipe has no name, and its file none that a sweep could have",
             "write name = \"NAME\" into the recipe");
    recipe_.name = text("name", std::filesystem::path(file_).stem().string());
    require_name(recipe_.name, "name");
    read_seeds();
    preset_ = text("preset", "");
    if (!preset_.empty()) require_preset(preset_);
    read_budget();
    const bool has_grid = tree_.contains("grid"), has_list = tree_.contains("settings");
    if (has_grid && has_list)
      misuse(file_ + ": grid and settings both say what is compared", "leave out one of them");
    has_list ? read_settings() : read_grid();
    return std::move(recipe_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what, const std::string& hint = kHint) const {
    misuse(file_ + ": " + what, hint);
  }

  void check_keys() const {
    static const std::vector<std::string> known = {"name",   "preset", "seeds",    "budget", "plan",
                                                   "stages", "base",   "settings", "grid"};
    for (const auto& [key, value] : tree_.items())
      if (std::find(known.begin(), known.end(), key) == known.end())
        refuse(fmt::format("unknown key {}", escaped(key)),
               suggestion(key, known) + "; settings of the runs stand under [base]");
  }

  std::string text(const char* key, const std::string& otherwise) const {
    if (!tree_.contains(key)) return otherwise;
    if (!tree_.at(key).is_string()) refuse(fmt::format("{} is no text", key));
    return tree_.at(key).get<std::string>();
  }

  const ordered_json& table(const char* key) const {
    static const ordered_json none = ordered_json::object();
    if (!tree_.contains(key)) return none;
    if (!tree_.at(key).is_object()) refuse(fmt::format("{} is no table", key));
    return tree_.at(key);
  }

  void require_name(const std::string& name, const char* of) const {
    if (!is_name(name))
      refuse(fmt::format("{} = {} is no part of a run's name", of, quoted_start(name)),
             fmt::format("allowed: 1 to {} letters, digits, `-`, `_` and `.`, the first one a "
                         "letter, a digit or `_`",
                         kLongestSweepName));
  }

  void require_preset(const std::string& preset) const {
    if (registry().has(preset)) return;
    std::vector<std::string> names;
    for (const Preset& known : registry().presets()) names.push_back(known.name);
    refuse(fmt::format("preset = {} is no preset", quoted_start(preset)),
           suggestion(preset.substr(0, 128), names, "fathom list"));
  }

  void read_seeds() {
    if (!tree_.contains("seeds"))
      refuse("seeds are missing: the seed of each run of a setting",
             "for example seeds = [1, 2, 3]; from two on, chance can be told from effect");
    const ordered_json& seeds = tree_.at("seeds");
    if (!seeds.is_array() || seeds.empty()) refuse("seeds are no list of whole numbers");
    if (seeds.size() > kMostSweepRuns) refuse("seeds are more than a sweep may have runs");
    for (const ordered_json& seed : seeds) {
      if (!seed.is_number_integer()) refuse("seeds are no list of whole numbers");
      recipe_.seeds.push_back(seed.get<int64_t>());
    }
    std::vector<int64_t> sorted = recipe_.seeds;
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end()) refuse(fmt::format("the seed {} is there twice", *twice));
    RunConfig config;
    FieldList list;
    add_fields(list, config);
    for (const int64_t seed : recipe_.seeds) list.set("seed", seed, file_ + ": seeds");
  }

  // budget, plan, stages.
  void read_budget() {
    std::vector<std::string> given;
    for (const char* key : {"budget", "plan", "stages"})
      if (tree_.contains(key)) given.emplace_back(key);
    if (given.size() > 1)
      refuse(fmt::format("{} and {} both say how long a run is", given[0], given[1]),
             "leave out one of them");
    recipe_.plan = text("plan", "");
    if (tree_.contains("stages")) {
      const ordered_json& stages = tree_.at("stages");
      if ((!stages.is_array() && !stages.is_object()) || stages.empty())
        refuse("stages are neither [[stages]] nor [stages.NAME]");
      recipe_.plan_json = plan_text(stages.is_array() ? ordered_json{{"steps", stages}} : stages);
    }
    if (!tree_.contains("budget")) return;
    const ordered_json& budget = table("budget");
    static const std::vector<std::string> units = {"steps", "epochs", "samples", "tokens",
                                                   "minutes"};
    if (budget.size() != 1)
      refuse("budget is not one amount", "for example budget = {steps = 500}");
    const std::string unit = budget.begin().key();
    const ordered_json& amount = budget.begin().value();
    if (std::find(units.begin(), units.end(), unit) == units.end())
      refuse(fmt::format("budget: unknown key {}", escaped(unit)), suggestion(unit, units));
    if (!amount.is_number() || !(amount.get<double>() > 0))
      refuse(fmt::format("budget: {} is no amount above 0", unit));
    if (unit == "steps")
      steps_ = to_literal(amount);
    else
      recipe_.plan_json = plan_text({{"all", {{unit, amount}}}});
  }

  static std::string plan_text(const ordered_json& plan) {
    return plan.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  }

  // Fields of a preset with the base's values.
  struct Fields {
    RunConfig config;
    FieldList list;
  };

  void make_fields(const std::string& preset, Fields& fields) {
    if (preset.empty())
      refuse("preset is missing: what is trained", "`fathom list` shows the presets");
    require_preset(preset);
    fields.config = preset_config(preset);
    add_fields(fields.list, fields.config);
  }

  // As the command line has it, once the field has taken it.
  std::pair<std::string, std::string> value(Fields& fields, const std::string& key,
                                            const ordered_json& given, const char* table) {
    const Field* field = fields.list.find(key);
    if (field != nullptr && field->name() == "seed")
      refuse(fmt::format("[{}] has a seed, which is what seeds are for", table));
    if (given.is_object())
      refuse(fmt::format("[{}] {} is a table", table, escaped(key)), "a setting is one value");
    std::string text = given.is_string() ? given.get<std::string>() : to_literal(given);
    if (text == "none" && field != nullptr && !field->is_text()) text = "None";
    fields.list.set_text(key, text, fmt::format("{}: [{}]", file_, table));
    bytes_ += key.size() + text.size();
    if (bytes_ > kMostBytes) refuse("its settings are too long");
    return {key, std::move(text)};
  }

  Values base_values(Fields& fields) {
    Values values;
    for (const auto& [key, given] : table("base").items())
      values.push_back(value(fields, key, given, "base"));
    if (steps_.empty()) return values;
    const Field& steps = *fields.list.find("max_iters");
    for (const auto& [key, given] : values)
      if (fields.list.find(key) == &steps)
        refuse(fmt::format("budget and [base] {} both say how long a run is", key));
    fields.list.set_text("max_iters", steps_, file_ + ": budget");
    values.emplace_back("max_iters", steps_);
    return values;
  }

  void require_count(size_t settings) const {
    if (settings * recipe_.seeds.size() > kMostSweepRuns)
      refuse(fmt::format("its {} settings and {} seeds are more than {} runs", settings,
                         recipe_.seeds.size(), kMostSweepRuns),
             "split it into several sweeps, which `fathom compare` takes together");
  }

  void read_grid() {
    Fields fields;
    make_fields(preset_, fields);
    std::vector<SweepSetting> all = {{"", false, preset_, base_values(fields)}};
    for (const auto& [key, list] : table("grid").items()) {
      if (!list.is_array() || list.empty())
        refuse(fmt::format("[grid] {} is no list of values", escaped(key)),
               "for example n_layer = [2, 4]; what holds for every run stands under [base]");
      require_count(all.size() * std::min(list.size(), kMostSweepRuns + 1));
      std::vector<SweepSetting> next;
      for (const SweepSetting& setting : all)
        for (const ordered_json& given : list) {
          next.push_back(setting);
          next.back().values.push_back(value(fields, key, given, "grid"));
          const std::string part = as_name(key + next.back().values.back().second);
          next.back().name += (setting.name.empty() ? "" : "-") + part;
          count_copies(next.back());
        }
      all = std::move(next);
    }
    recipe_.settings = std::move(all);
    settle_names();
  }

  // Each run has its own values of the base.
  void count_copies(const SweepSetting& setting) {
    size_t bytes = setting.name.size();
    for (const auto& [key, text] : setting.values) bytes += key.size() + text.size() + 64;
    bytes_ += bytes * recipe_.seeds.size();
    if (bytes_ > kMostBytes) refuse("its settings are too long");
  }

  void read_settings() {
    const ordered_json& list = tree_.at("settings");
    if (!list.is_array() || list.empty()) refuse("settings are no [[settings]]");
    require_count(std::min(list.size(), kMostSweepRuns + 1));
    for (const ordered_json& given : list) {
      if (!given.is_object()) refuse("settings are no [[settings]]");
      SweepSetting setting;
      for (const char* key : {"name", "preset"})
        if (given.contains(key) && !given.at(key).is_string())
          refuse(fmt::format("[[settings]] {} is no text", key));
      setting.is_named = given.contains("name");
      setting.name = given.value("name", "");
      setting.preset = given.value("preset", preset_);
      if (setting.is_named) require_name(setting.name, "[[settings]] name");
      Fields fields;
      make_fields(setting.preset, fields);
      setting.values = base_values(fields);
      const size_t of_base = setting.values.size();
      for (const auto& [key, value_given] : given.items())
        if (key != "name" && key != "preset")
          setting.values.push_back(value(fields, key, value_given, "settings"));
      if (!setting.is_named) setting.name = name_of(setting, of_base);
      count_copies(setting);
      recipe_.settings.push_back(std::move(setting));
    }
    settle_names();
  }

  std::string name_of(const SweepSetting& setting, size_t of_base) const {
    std::string name = setting.preset == preset_ ? "" : as_name(setting.preset);
    for (size_t i = of_base; i < setting.values.size() && name.size() <= kLongestSweepName; ++i)
      name +=
          (name.empty() ? "" : "-") + as_name(setting.values[i].first + setting.values[i].second);
    return name;
  }

  // Too long a name, or one that is taken, becomes a number; so does none beside others.
  void settle_names() {
    std::set<std::string> taken;
    for (const SweepSetting& setting : recipe_.settings)
      if (setting.is_named && !taken.insert(setting.name).second)
        refuse(fmt::format("two settings are called {}", setting.name));
    if (recipe_.settings.size() == 1 && !recipe_.settings[0].is_named)
      recipe_.settings[0].name = "";
    if (recipe_.settings.size() == 1) return;
    for (size_t i = 0; i < recipe_.settings.size(); ++i) {
      SweepSetting& setting = recipe_.settings[i];
      if (setting.is_named) continue;
      if (is_name(setting.name) && taken.insert(setting.name).second) continue;
      for (size_t number = i + 1;; ++number) {
        setting.name = fmt::format("setting{}", number);
        if (taken.insert(setting.name).second) break;
      }
    }
  }

  const ordered_json& tree_;
  const std::string file_;
  SweepRecipe recipe_;
  std::string preset_, steps_;
  size_t bytes_ = 0;
};

}  // namespace

SweepRecipe read_sweep(std::string_view text, const std::string& file) {
  const ordered_json tree = read_toml_tree(std::string(text), file);
  return SweepReader(tree, file).read();
}

std::string read_sweep_text(const std::string& path) {
  if (kind_of(path) == PathKind::kNothing)
    misuse(fmt::format("there is no recipe {}", path), kHint);
  return read_text_file(path, kMaxConfigBytes);
}

SweepRecipe read_sweep_file(const std::string& path) {
  return read_sweep(read_sweep_text(path), path);
}

std::vector<SweepRun> runs_of(const SweepRecipe& recipe, const std::string& plan_file) {
  std::vector<SweepRun> runs;
  for (const int64_t seed : recipe.seeds)
    for (const SweepSetting& setting : recipe.settings) {
      SweepRun run;
      run.setting = setting.name;
      run.seed = seed;
      run.name = fmt::format("{}{}{}-s{}", recipe.name, setting.name.empty() ? "" : "-",
                             setting.name, seed);
      run.words = {setting.preset, "--run_name=" + run.name};
      for (const auto& [key, text] : setting.values)
        run.words.push_back(fmt::format("--{}={}", key, text));
      run.words.push_back(fmt::format("--seed={}", seed));
      const std::string& plan = recipe.plan_json.empty() ? recipe.plan : plan_file;
      if (!plan.empty()) run.words.push_back("--training_plan=" + plan);
      runs.push_back(std::move(run));
    }
  return runs;
}

}  // namespace fathom
