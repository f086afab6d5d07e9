#include "fathom/train/recipe/plan_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"
#include "fathom/config/path_text.h"
#include "fathom/data/corpus_name.h"
#include "fathom/io/json_text.h"
#include "fathom/train/recipe/plan_data.h"
#include "fathom/train/recipe/plan_keys.h"

namespace fathom {
namespace {

using Tree = nlohmann::ordered_json;

constexpr size_t kMostStages = 1000, kMostParts = 64, kMostOverrides = 256;
constexpr size_t kLongestName = 64, kLongestText = 4096;

std::string shown(const Tree& value) {
  return shown_json(nlohmann::json(value));
}

// Budgets by their keys.
struct Unit {
  const char* key;
  Budget::Unit unit;
  bool whole;
  double most;
};
constexpr Unit kUnits[] = {
    {"steps", Budget::Unit::kSteps, true, 1e12},   {"iters", Budget::Unit::kSteps, true, 1e12},
    {"epochs", Budget::Unit::kEpochs, false, 1e9}, {"samples", Budget::Unit::kSamples, true, 1e15},
    {"tokens", Budget::Unit::kTokens, true, 1e15}, {"minutes", Budget::Unit::kMinutes, false, 1e9}};

const std::vector<std::string>& mixtures() {
  static const std::vector<std::string> all = {"first_exhausted", "all_exhausted", "weighted"};
  return all;
}

// What a plan's keys may be, as far as they mean the same.
const std::vector<std::string> kNameKeys = {"step_name", "name"},
                               kDataKeys = {"dataset", "datasets"},
                               kMixtureKeys = {"mixture", "interleave_stopping_strategy",
                                               "interleve_stopping_strategy"};

class Reader {
 public:
  explicit Reader(const std::string& file) : file_(escaped(file)) {
    result_.plan.name = corpus_name_of(std::filesystem::path(file).filename().string());
  }

  WrittenPlan read(const Tree& tree) {
    if (!tree.is_object()) refuse(file_, "is no object", kForms);
    const bool has_steps = tree.contains("steps") && tree.at("steps").is_array();
    if (has_steps)
      read_first_form(tree);
    else if (tree.contains("datasets"))
      refuse(file_, "has datasets and no list of steps", kForms);
    else
      read_second_form(tree);
    if (result_.plan.stages.empty()) refuse(file_, "has no stages", kForms);
    return std::move(result_);
  }

 private:
  static constexpr const char* kForms =
      R"(a plan is {"a": {"dataset": "NAME", "epochs": 0.5}, ...}, or has a list of steps)";

  [[noreturn]] static void refuse(const std::string& at, const std::string& what,
                                  const std::string& hint) {
    misuse(at + " " + what, hint);
  }

  static void check_keys(const Tree& object, const std::string& at,
                         const std::vector<std::string>& known) {
    for (const auto& [key, value] : object.items())
      if (std::find(known.begin(), known.end(), key) == known.end())
        refuse(at, "has an unknown key " + quoted_start(key), suggestion(key, known));
  }

  // The one of some spellings that is there; null: none is.
  static const Tree* find(const Tree& object, const std::vector<std::string>& spellings,
                          const std::string& at) {
    const Tree* found = nullptr;
    std::string first;
    for (const std::string& key : spellings) {
      if (!object.contains(key)) continue;
      if (found != nullptr) refuse(at, "has " + first + " and " + key, "keep one of the two");
      found = &object.at(key);
      first = key;
    }
    return found;
  }

  static std::string text(const Tree& value, const std::string& at, const std::string& what) {
    if (!value.is_string() || value.get_ref<const std::string&>().empty() ||
        value.get_ref<const std::string&>().size() > kLongestText)
      refuse(at, fmt::format("has {} as {}", shown(value), what),
             fmt::format("{} is a text of at most {} bytes", what, kLongestText));
    return value.get<std::string>();
  }

  void read_first_form(const Tree& tree) {
    check_keys(tree, file_, {"name", "datasets", "steps", "seed"});
    if (tree.contains("name")) {
      const std::string name = text(tree.at("name"), file_, "its name");
      if (!is_printable(name) || name.size() > 100)
        refuse(file_, "has " + quoted_start(name) + " as its name",
               "a name is 1 to 100 printable bytes");
      result_.plan.name = name;
    }
    if (tree.contains("seed")) {
      const Tree& seed = tree.at("seed");
      if (!seed.is_number_integer() || seed < 0)
        refuse(file_, "has " + shown(seed) + " as its seed", "a seed is a whole number from 0");
      result_.notices.push_back(
          file_ + ": seed has no effect: what is held out was settled when the data was prepared");
    }
    if (tree.contains("datasets")) read_table(tree.at("datasets"));
    const Tree& steps = tree.at("steps");
    for (size_t i = 0; i < steps.size(); ++i)
      read_stage(std::to_string(i), steps[i], /*may_say_its_name=*/true);
  }

  void read_second_form(const Tree& tree) {
    for (const auto& [name, stage] : tree.items()) read_stage(name, stage, false);
  }

  void read_table(const Tree& table) {
    if (!table.is_object())
      refuse(file_, "has datasets that are no object", R"({"NAME": {"ds_loader": "wiki"}, ...})");
    data_.emplace();
    for (const auto& [name, entry] : table.items()) {
      const std::string at = fmt::format("{}: the data set {}", file_, quoted_start(name));
      (*data_)[name] = corpus_of_loader(entry, at, result_.notices);
    }
  }

  void read_stage(const std::string& default_name, const Tree& tree, bool may_say_its_name) {
    Stage stage;
    stage.name = default_name;
    const std::string place = fmt::format("{}: the stage {}", file_, quoted_start(default_name));
    if (!tree.is_object())
      refuse(place, "is no object", R"(a stage is {"dataset": "NAME", "epochs": 0.5})");
    std::vector<std::string> known = may_say_its_name ? kNameKeys : std::vector<std::string>();
    for (const auto& keys : {kDataKeys, kMixtureKeys})
      known.insert(known.end(), keys.begin(), keys.end());
    for (const Unit& unit : kUnits) known.emplace_back(unit.key);
    known.insert(known.end(), {"mixture_weights", "overrides"});
    check_keys(tree, place, known);
    if (may_say_its_name)
      if (const Tree* name = find(tree, kNameKeys, place))
        stage.name = text(*name, place, "its name");
    check_name(stage.name, place);
    const std::string at = fmt::format("{}: the stage {}", file_, stage.name);
    stage.budget = budget(tree, at);
    const size_t parts = read_data(tree, at, stage);
    read_mixture(tree, at, parts, stage);
    if (tree.contains("overrides")) read_overrides(tree.at("overrides"), at, stage);
    if (result_.plan.stages.size() >= kMostStages)
      refuse(file_, fmt::format("has more than {} stages", kMostStages), "fewer, longer ones do");
    result_.plan.stages.push_back(std::move(stage));
  }

  // A stage's last checkpoint has its name.
  void check_name(const std::string& name, const std::string& at) {
    const auto fits = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_' || c == '.';
    };
    if (name.empty() || name.size() > kLongestName || !std::all_of(name.begin(), name.end(), fits))
      refuse(at, "has a name that its checkpoint cannot have",
             fmt::format("a name is 1 to {} of letters, digits, `-`, `_` and `.`", kLongestName));
    if (!names_.insert(name).second)
      refuse(file_, "has two stages called " + name,
             "a stage without step_name is called by its number from 0");
  }

  static Budget budget(const Tree& tree, const std::string& at) {
    const Unit* given = nullptr;
    for (const Unit& unit : kUnits) {
      if (!tree.contains(unit.key)) continue;
      if (given != nullptr)
        refuse(at, fmt::format("lasts for {} and for {}", given->key, unit.key),
               "keep one of the two; whichever is reached first is another plan");
      given = &unit;
    }
    if (given == nullptr) return {Budget::Unit::kEpochs, 1};  // LMPlay's default
    const Tree& value = tree.at(given->key);
    const double amount = value.is_number() ? value.get<double>() : 0;
    const bool sound = std::isfinite(amount) && amount > 0 && amount <= given->most &&
                       (!given->whole || std::nearbyint(amount) == amount);
    if (!sound)
      refuse(at, fmt::format("has {} = {}", given->key, shown(value)),
             fmt::format("allowed: {} above 0, at most {:g}",
                         given->whole ? "whole numbers" : "numbers", given->most));
    return {given->unit, amount};
  }

  // How many data sets the stage has; 0: the run's own.
  size_t read_data(const Tree& tree, const std::string& at, Stage& stage) {
    const Tree* found = find(tree, kDataKeys, at);
    if (found == nullptr) return 0;
    const Tree& data = *found;
    const std::vector<std::string> names = data_names(data, at);
    std::string all;
    for (const std::string& name : names) {
      const std::string corpus = data_ ? known_data(name, at) : name;
      if (names.size() > 1 && corpus.find(',') != std::string::npos)
        refuse(at, "names " + quoted_start(corpus) + ", which has a comma",
               "commas stand between data sets: give the folder another name");
      all += (all.empty() ? "" : ",") + corpus;
    }
    if (data_parts(all).empty()) refuse(at, "has no data set in " + quoted_start(all), "name one");
    set(at, stage, "dataset", all);
    return data_parts(all).size();
  }

  static std::vector<std::string> data_names(const Tree& data, const std::string& at) {
    if (!data.is_array()) return {text(data, at, "its data set")};
    std::vector<std::string> names;
    for (const Tree& item : data) names.push_back(text(item, at, "a data set"));
    if (names.empty()) refuse(at, "has an empty list of data sets", "name one at least");
    if (names.size() > kMostParts)
      refuse(at, fmt::format("mixes {} data sets", names.size()),
             fmt::format("allowed: at most {}", kMostParts));
    if (std::set<std::string>(names.begin(), names.end()).size() < names.size())
      refuse(at, "names a data set twice", "mixture = weighted with mixture_weights takes more");
    return names;
  }

  const std::string& known_data(const std::string& name, const std::string& at) const {
    if (const auto found = data_->find(name); found != data_->end()) return found->second;
    std::vector<std::string> names;
    for (const auto& [known, corpus] : *data_) names.push_back(known);
    refuse(at, "has an unknown data set " + quoted_start(name),
           names.empty() ? "the plan's datasets are empty: leave them out to name prepared corpora"
                         : suggestion(name, names));
  }

  void read_mixture(const Tree& tree, const std::string& at, size_t parts, Stage& stage) {
    const Tree* how = find(tree, kMixtureKeys, at);
    const bool has_weights = tree.contains("mixture_weights");
    if (how == nullptr && !has_weights) return;
    const std::string mixture = how == nullptr ? "weighted" : text(*how, at, "its mixture");
    if (std::find(mixtures().begin(), mixtures().end(), mixture) == mixtures().end())
      refuse(at, "has an unknown mixture " + quoted_start(mixture),
             suggestion(mixture, mixtures()));
    if (has_weights != (mixture == "weighted"))
      refuse(at, "is mixed by " + mixture + (has_weights ? " and has weights" : ""),
             "mixture = weighted has mixture_weights, a number for each data set; the others have "
             "none");
    if (parts < 2) {
      result_.notices.push_back(at + " has one data set: there is nothing to be mixed");
      return;
    }
    set(at, stage, "mixture", mixture);
    if (has_weights) add_weights(tree.at("mixture_weights"), at, parts, stage);
  }

  void add_weights(const Tree& weights, const std::string& at, size_t parts, Stage& stage) {
    const auto is_weight = [](const Tree& w) {
      return w.is_number() && std::isfinite(w.get<double>()) && w.get<double>() > 0;
    };
    if (!weights.is_array() || weights.size() != parts ||
        !std::all_of(weights.begin(), weights.end(), is_weight))
      refuse(at, "has other mixture_weights than a list of numbers above 0",
             fmt::format("one for each of its {} data sets", parts));
    set(at, stage, "mixture_weights", to_literal(nlohmann::json(weights)));
  }

  // An object, or a list of [key, text].
  void read_overrides(const Tree& overrides, const std::string& at, Stage& stage) {
    if (!overrides.is_object() && !overrides.is_array())
      refuse(at, "has overrides that are no object", R"({"learning_rate": 1e-4, ...})");
    if (overrides.size() > kMostOverrides)
      refuse(at, fmt::format("has more than {} overrides", kMostOverrides), "there are fewer keys");
    if (overrides.is_object()) {
      for (const auto& [key, value] : overrides.items()) add_override(key, value, at, stage);
      return;
    }
    for (const Tree& pair : overrides) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string())
        refuse(at, "has an override that is no pair of key and value", "[\"KEY\", \"VALUE\"]");
      add_override(pair[0].get<std::string>(), pair[1], at, stage);
    }
  }

  void add_override(const std::string& key, const Tree& value, const std::string& at,
                    Stage& stage) {
    if (key.size() > kLongestName)
      refuse(at, "has a key of " + std::to_string(key.size()) + " bytes",
             "`fathom train EXPERIMENT --help=all` lists every key");
    if (value.is_string() && value.get_ref<const std::string&>().size() > kLongestText)
      refuse(at, "has " + shown(value) + " as " + key,
             fmt::format("a value has at most {} bytes", kLongestText));
    const std::vector<const Field*> known = keys_.find(key);
    if (known.empty()) {
      FieldList& list = keys_.everyones();
      const size_t told = list.notices().size();
      list.set_text(key, "", at);  // refuses what is unknown
      for (size_t i = told; i < list.notices().size(); ++i)
        result_.notices.push_back(at + ": " + list.notices()[i]);
      return;
    }
    const auto may_set = std::find_if(known.begin(), known.end(),
                                      [](const Field* f) { return may_differ_between_stages(*f); });
    if (may_set == known.end()) refuse_for_stages(*known.front(), at, stage.budget);
    const Field& field = **may_set;
    if (value.is_object())
      refuse(at, "has an object as " + field.name(), "a value is a number, a text or a list");
    // TOML has no null.
    const bool is_none = value == "none" && !field.is_text() && field.choices().empty();
    if (is_none) return add_override(key, Tree(), at, stage);
    const std::string text =
        value.is_string() ? value.get<std::string>() : to_literal(nlohmann::json(value));
    // An experiment's key is checked with the preset's own list (stage_runs.cpp).
    const bool is_everyones = keys_.everyones().find(key) != nullptr;
    if (is_everyones && value.is_string()) return set(at, stage, field.name(), text);
    if (is_everyones) keys_.everyones().set(field.name(), nlohmann::json(value), at);
    add_unless_twice(field.name(), text, at, stage);
  }

  // Refuses a value that the field does not take.
  void set(const std::string& at, Stage& stage, const std::string& key, const std::string& value) {
    keys_.everyones().set_text(key, value, at);
    add_unless_twice(key, value, at, stage);
  }

  static void add_unless_twice(const std::string& key, const std::string& value,
                               const std::string& at, Stage& stage) {
    for (const auto& [known, text] : stage.overrides)
      if (known == key) refuse(at, "sets " + key + " twice", "keep one of the two");
    stage.overrides.emplace_back(key, value);
  }

  std::string file_;
  PlanKeys keys_;
  std::optional<std::map<std::string, std::string>> data_;  // the plan's own names
  std::set<std::string> names_;
  WrittenPlan result_;
};

}  // namespace

WrittenPlan plan_from_json(const Tree& tree, const std::string& file) {
  return Reader(file).read(tree);
}

WrittenPlan plan_from_json(const nlohmann::json& tree, const std::string& file) {
  if (!tree.is_object() || !tree.contains("steps") || !tree.at("steps").is_array())
    misuse(escaped(file) + " has no list of steps", "it was not written by this program");
  return Reader(file).read(Tree(tree));
}

}  // namespace fathom
