// The one list of fields of a configuration struct. From it come the command line, config files,
// validation, `describe`, the resolved config.toml and the reference page.
//
//   struct OptimizerConfig { double learning_rate = 6e-4; ... };
//   void add_fields(FieldList& list, OptimizerConfig& c) {
//     list.section("optimizer");
//     list.add("learning_rate", c.learning_rate, "peak learning rate").above(0).alias("lr");
//   }
//
// A FieldList holds pointers into the struct it was made from and must not outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fathom {

// A value on its way between text and struct: null (None), bool, integer, float, string, or a list.
using Value = nlohmann::json;

using IntList = std::vector<int64_t>;
using FloatList = std::vector<double>;
using IntLists = std::vector<std::vector<int64_t>>;

// A number, or several: `0.01`, `[0.01, 0.02]`. None is the empty list.
struct OneOrMore {
  FloatList numbers;
  bool one = false;  // it was no list

  // Of the i-th of several, or the one of all; `otherwise` where there is none.
  double at(size_t i, double otherwise) const {
    if (numbers.empty()) return otherwise;
    return one ? numbers.front() : numbers.at(i);
  }
};

// One of some words, or a list of numbers: `all`, `[0.5, 1, 2]`. `choice` is empty for a list.
struct ChoiceOrList {
  std::string choice;
  FloatList list;
};

// A whole number, or a list of such: `3`, `[1, [2, 3]]`.
struct IntTree {
  int64_t number = 0;         // of no list
  std::vector<IntTree> list;  // of a list
  bool is_list = false;
};

// One of some words, or a list of whole numbers and of such lists: `auto`, `[[1, 2], [3]]`. None is
// the empty list. `choice` is empty for a list.
struct ChoiceOrTree {
  std::string choice;
  std::vector<IntTree> list;
};

// A word that may be typed, and what it is; empty: it speaks for itself.
struct Suggestion {
  std::string word, help;
};
using Suggestions = std::function<std::vector<Suggestion>()>;
// Of words that speak for themselves.
std::vector<Suggestion> as_suggestions(const std::vector<std::string>& words);

// What a ChoiceOrTree without entries is.
enum class EmptyTree {
  kList,     // a value like others, [] or None
  kNone,     // None: something else decides
  kRefused,  // nothing
};

// As it is typed: "[[1, 2], [3]]".
std::string shown_tree(const std::vector<IntTree>& list);

class FieldList;

class Field {
 public:
  Field& at_least(double bound);
  Field& at_most(double bound);
  Field& above(double bound);
  Field& below(double bound);
  Field& alias(std::string name);  // another accepted spelling (LMPlay's, an older one)
  // One that is a switch where it comes from: what its true and false mean here, as typed.
  Field& switch_alias(std::string name, std::string if_true, std::string if_false);
  Field& shapes_weights();  // shape or meaning of the weights: a resumed run keeps its own
  Field& of_policy();  // acts in one pass and may differ from pass to pass, whatever was trained
  Field& formerly_in(std::string section);  // where config files of before may have it
  // What must hold for the key to act: "decay_lr = true". Asked when all is settled;
  // without_effect() tells of a key that was given in vain. Several are all needed, the first that
  // fails is told.
  Field& needs(std::string what, std::function<bool()> holds);
  // Or this, in place of what was last said to be needed.
  Field& or_needs(std::string what, std::function<bool()> holds);
  // A path: any bytes; a leading ~ is $HOME. value() is path_to_text() of it, and assign() takes
  // that back.
  Field& path();
  Field& usual();  // one of the twenty or so that `--help` of a verb with many keys begins with
  // Values that shells offer where the field has no choices; others are allowed.
  Field& suggests(Suggestions suggestions);
  Field& any_bytes();  // a text that need not be UTF-8; whoever saves the value sees to it
  // Of a list of numbers: what the key means where it is typed without a value.
  Field& or_alone(std::string text);

  const std::string& name() const { return name_; }
  const std::string& section() const { return section_; }
  bool belongs_to(const std::string& section) const;  // now or formerly
  const std::string& help() const { return help_; }
  const std::string& type() const { return type_; }  // "int", "float or None", "list of int", ...
  const std::string& origin() const { return origin_; }  // "--n_layer", "a.toml:3"; empty: not set
  bool is_typed() const { return origin_.rfind("--", 0) == 0; }  // on the command line
  std::string setting() const;                                   // "halt_rule = max", for messages
  const std::vector<std::string>& aliases() const { return aliases_; }  // switches among them
  struct SwitchAlias {
    std::string name, if_true, if_false;
  };
  const std::vector<SwitchAlias>& switch_aliases() const { return switch_aliases_; }
  // `-` and `_` alike; null: there is none of that name.
  const SwitchAlias* switch_alias(const std::string& name) const;
  const std::vector<std::string>& choices() const { return choices_; }
  std::string range() const;  // "1 <= n_layer", empty if unbounded
  bool does_shape_weights() const { return shapes_weights_; }
  bool is_of_policy() const { return of_policy_; }
  bool is_path() const { return path_; }
  bool is_usual() const { return usual_; }
  const std::string& alone() const { return alone_; }  // empty: it has to have a value
  std::vector<Suggestion> suggestions() const;         // choices, truth values, or what it suggests
  bool is_text() const { return type_ == "text"; }
  std::vector<std::string> needed() const;  // what the key needs; empty: it always acts
  bool is_bool() const { return type_.rfind("bool", 0) == 0; }  // a bare flag means true

  Value value() const;
  // Throws Error(kUsage) that names the key, what was given and what is allowed; `origin` says
  // where it was given. The struct is unchanged then.
  void assign(const Value& given, const std::string& origin);
  // The same from the command line: text fields take it as it is, others parse it as a literal.
  void assign_text(const std::string& text, const std::string& origin);

 private:
  friend class FieldList;
  friend std::vector<std::string> without_effect(const FieldList& list);
  friend void refuse_contradictions(const FieldList& list, const std::vector<std::string>& sections,
                                    const std::vector<std::string>& acting);
  struct Need {
    std::string what;
    std::function<bool()> holds;
  };
  void check_bytes(const std::string& text, const std::string& origin) const;
  void check_bounds(const Value& value, const std::string& origin) const;
  [[noreturn]] void refuse(const std::string& given, const std::string& origin,
                           const std::string& why) const;

  std::string name_, section_, help_, type_, origin_, alone_;
  std::vector<std::string> aliases_, choices_, former_sections_;
  std::vector<SwitchAlias> switch_aliases_;
  double low_ = -std::numeric_limits<double>::infinity();
  double high_ = std::numeric_limits<double>::infinity();
  bool low_open_ = false, high_open_ = false;
  size_t turn_ = 0;  // when it was set, counted over the list's fields; 0: not set
  bool shapes_weights_ = false, of_policy_ = false, path_ = false, any_bytes_ = false;
  bool usual_ = false;
  Suggestions suggestions_;  // null: none
  std::vector<Need> needs_;
  std::shared_ptr<const Value> before_;  // its value when it was first set; null: not set
  std::function<Value()> get_;
  std::function<bool(const Value&)> set_;  // false: wrong type
};

// A key that other programs' command lines carry and that has no counterpart here: it is said to
// have no effect or, where leaving it out would mean another run than was asked for, refused.
struct ForeignKey {
  std::string name;
  std::string reason;  // "there is no compile step"
  std::string hint;    // what to type instead; empty: the key is ignored
  bool takes_value = false;
};

class FieldList {
 public:
  void section(std::string name) { section_ = std::move(name); }

  Field& add(std::string name, bool& slot, std::string help);
  Field& add(std::string name, int64_t& slot, std::string help);
  Field& add(std::string name, double& slot, std::string help);
  Field& add(std::string name, std::string& slot, std::string help);
  Field& add(std::string name, std::optional<bool>& slot, std::string help);
  Field& add(std::string name, std::optional<int64_t>& slot, std::string help);
  Field& add(std::string name, std::optional<double>& slot, std::string help);
  Field& add(std::string name, IntList& slot, std::string help);
  Field& add(std::string name, FloatList& slot, std::string help);
  Field& add(std::string name, OneOrMore& slot, std::string help);
  Field& add(std::string name, IntLists& slot, std::string help);
  Field& add(std::string name, ChoiceOrList& slot, std::string help,
             std::vector<std::string> choices);
  Field& add(std::string name, ChoiceOrTree& slot, std::string help,
             std::vector<std::string> choices, EmptyTree empty = EmptyTree::kList);
  // An enum: `names` pairs each spelling with its value.
  template <class E>
  Field& add(std::string name, E& slot, std::string help,
             std::vector<std::pair<std::string, E>> names) {
    std::vector<std::string> spellings;
    for (const auto& [spelling, value] : names) spellings.push_back(spelling);
    return add_choice(
        std::move(name), std::move(help), std::move(spellings),
        [&slot, names] {
          for (const auto& [spelling, value] : names)
            if (value == slot) return spelling;
          return std::string();
        },
        [&slot, names](const std::string& text) {
          for (const auto& [spelling, value] : names)
            if (spelling == text) return slot = value, true;
          return false;
        });
  }
  void ignore(std::string name, std::string reason, bool takes_value = false) {
    foreign_.push_back({std::move(name), std::move(reason), "", takes_value});
  }
  // Some of the fields of another list, under the present section. Throws Error where it has none
  // of a name.
  void take(const FieldList& other, const std::vector<std::string>& names);
  void refuse(std::string name, std::string reason, std::string hint) {
    foreign_.push_back({std::move(name), std::move(reason), std::move(hint), true});
  }

  // Says where a key is that this list has not, for the HINT of its refusal; empty: nowhere.
  // `typed`: as an option, not in a file.
  using Explain =
      std::function<std::string(const FieldList& list, const std::string& name, bool typed)>;
  void explain_unknown(Explain explain) { explain_unknown_ = std::move(explain); }
  std::string unknown_explained(const std::string& name, bool typed) const;

  const std::vector<Field>& all() const { return fields_; }
  const std::vector<ForeignKey>& foreign_keys() const { return foreign_; }
  // By name or alias, `-` and `_` alike; null if there is none.
  Field* find(const std::string& name);
  const Field* find(const std::string& name) const;
  // True when a file or the command line, not a preset, gave the value.
  bool given(const std::string& name) const;
  // Given, and another value than it had before.
  bool changes(const std::string& name) const;
  // Both were given, or only the first, and it last.
  bool given_after(const std::string& name, const std::string& other) const;

  // Both throw Error(kUsage) for an unknown key, with the nearest known one.
  void set(const std::string& name, const Value& value, const std::string& origin);
  void set_text(const std::string& name, const std::string& text, const std::string& origin);
  // One sentence for each ignored key that was given, in the order given.
  const std::vector<std::string>& notices() const { return notices_; }
  void note(std::string sentence) { notices_.push_back(std::move(sentence)); }

 private:
  Field& push(std::string name, std::string help, std::string type);
  Field& add_choice(std::string name, std::string help, std::vector<std::string> choices,
                    std::function<std::string()> get, std::function<bool(const std::string&)> set);
  Field* require(const std::string& name, const std::string& origin);

  std::string section_;
  std::vector<Field> fields_;
  std::vector<ForeignKey> foreign_;
  Explain explain_unknown_;  // null: nothing is known
  size_t turns_ = 0;
  std::vector<std::string> notices_;
};

// A sentence for each key that was given although what it needs does not hold, in list order. Not
// for None, which asks for nothing, and not for a file's value that changes nothing: a run's own
// config.toml has every key.
std::vector<std::string> without_effect(const FieldList& list);

// Throws Error(kUsage) where a key of these sections and one that its needs name were both typed,
// and the need does not hold: "max_shift = 4 with predict_ahead = false". Not for a key that asks
// for nothing (None, an empty list, none, false), nor for those of `acting`, which act in another
// way. What files and presets say is without_effect()'s.
void refuse_contradictions(const FieldList& list, const std::vector<std::string>& sections,
                           const std::vector<std::string>& acting);

}  // namespace fathom
