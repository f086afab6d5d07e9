#include "fathom/config/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"
#include "fathom/config/path_text.h"

namespace fathom {
namespace {

using nlohmann::json;

// Conversions from a Value; false when the type does not fit. Integers are taken for floats, and
// floats without a fraction for integers (`--max_iters=1e4`).
bool convert(const json& v, bool& out) {
  if (v.is_boolean()) return out = v.get<bool>(), true;
  if (!v.is_number_integer()) return false;
  const auto n = v.get<int64_t>();
  if (n == 0 || n == 1) return out = n == 1, true;
  return false;
}

bool convert(const json& v, int64_t& out) {
  if (v.is_number_unsigned() && v.get<uint64_t>() > INT64_MAX) return false;
  if (v.is_number_integer()) return out = v.get<int64_t>(), true;
  if (!v.is_number_float()) return false;
  const double x = v.get<double>();
  if (std::nearbyint(x) != x || std::abs(x) > 9007199254740992.0) return false;
  return out = static_cast<int64_t>(x), true;
}

bool convert(const json& v, double& out) {
  if (!v.is_number()) return false;
  return out = v.get<double>(), true;
}

bool convert(const json& v, IntTree& out);

template <class T>
bool convert(const json& v, std::optional<T>& out) {
  if (v.is_null()) return out.reset(), true;
  T value{};
  return convert(v, value) ? (out = value, true) : false;
}

// None is the empty list: the notebooks spell "unset" both ways.
template <class T>
bool convert(const json& v, std::vector<T>& out) {
  std::vector<T> list;
  if (!v.is_null()) {
    if (!v.is_array()) return false;
    for (const json& item : v) {
      T value{};
      if (!convert(item, value)) return false;
      list.push_back(std::move(value));
    }
  }
  return out = std::move(list), true;
}

bool convert(const json& v, IntTree& out) {
  IntTree tree;
  tree.is_list = v.is_array();
  const bool fits = tree.is_list ? convert(v, tree.list) : convert(v, tree.number);
  return fits ? (out = std::move(tree), true) : false;
}

json to_value(const std::vector<IntTree>& list) {
  json value = json::array();
  for (const IntTree& tree : list)
    value.push_back(tree.is_list ? to_value(tree.list) : json(tree.number));
  return value;
}

template <class T>
json to_value(const T& value) {
  return value;
}
template <class T>
json to_value(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

// Every number inside, lists included.
template <class Visit>
void each_number(const json& value, const Visit& visit) {
  if (value.is_array())
    for (const json& item : value) each_number(item, visit);
  else if (value.is_number())
    visit(value.get<double>());
}

// For messages: short, and nothing in it that a terminal would obey.
std::string shown(const json& value) {
  return value.is_string() ? quoted_start(value.get<std::string>()) : escaped(to_literal(value));
}

std::string shown_as_typed(const std::string& text) {
  const std::string quoted = quoted_start(text);
  return quoted == '"' + text + '"' ? text : quoted;
}

}  // namespace

std::string shown_tree(const std::vector<IntTree>& list) {
  return to_literal(to_value(list));
}

std::vector<Suggestion> as_suggestions(const std::vector<std::string>& words) {
  std::vector<Suggestion> out;
  for (const std::string& word : words) out.push_back({word, ""});
  return out;
}

Field& Field::at_least(double bound) {
  return low_ = bound, low_open_ = false, *this;
}
Field& Field::at_most(double bound) {
  return high_ = bound, high_open_ = false, *this;
}
Field& Field::above(double bound) {
  return low_ = bound, low_open_ = true, *this;
}
Field& Field::below(double bound) {
  return high_ = bound, high_open_ = true, *this;
}
Field& Field::formerly_in(std::string section) {
  former_sections_.push_back(std::move(section));
  return *this;
}

bool Field::belongs_to(const std::string& section) const {
  return section == section_ || std::find(former_sections_.begin(), former_sections_.end(),
                                          section) != former_sections_.end();
}

Field& Field::of_policy() {
  return of_policy_ = true, *this;
}

Field& Field::or_alone(std::string text) {
  return alone_ = std::move(text), *this;
}

Field& Field::shapes_weights() {
  return shapes_weights_ = true, *this;
}
Field& Field::needs(std::string what, std::function<bool()> holds) {
  return needs_.push_back({std::move(what), std::move(holds)}), *this;
}
Field& Field::or_needs(std::string what, std::function<bool()> holds) {
  Need& last = needs_.back();
  last.what += ", or " + what;
  last.holds = [either = std::move(last.holds), other = std::move(holds)] {
    return either() || other();
  };
  return *this;
}
Field& Field::path() {
  return path_ = true, *this;
}
Field& Field::usual() {
  return usual_ = true, *this;
}
Field& Field::suggests(Suggestions suggestions) {
  return suggestions_ = std::move(suggestions), *this;
}
Field& Field::any_bytes() {
  return any_bytes_ = true, *this;
}
Field& Field::alias(std::string name) {
  return aliases_.push_back(std::move(name)), *this;
}

Field& Field::switch_alias(std::string name, std::string if_true, std::string if_false) {
  aliases_.push_back(name);
  return switch_aliases_.push_back({std::move(name), std::move(if_true), std::move(if_false)}),
         *this;
}

std::string Field::range() const {
  std::string out;
  if (std::isfinite(low_)) out += fmt::format("{} {} ", low_, low_open_ ? "<" : "<=");
  if (!std::isfinite(low_) && !std::isfinite(high_)) return out;
  out += name_;
  if (std::isfinite(high_)) out += fmt::format(" {} {}", high_open_ ? "<" : "<=", high_);
  return out;
}

std::string Field::setting() const {
  const Value v = value();
  return name_ + " = " + (v.is_string() && !is_text() ? v.get<std::string>() : shown(v));
}

std::vector<std::string> Field::needed() const {
  std::vector<std::string> out;
  for (const Need& need : needs_) out.push_back(need.what);
  return out;
}

std::vector<Suggestion> Field::suggestions() const {
  if (!choices_.empty()) return as_suggestions(choices_);
  if (is_bool()) return as_suggestions({"true", "false"});
  return suggestions_ ? suggestions_() : std::vector<Suggestion>();
}

Value Field::value() const {
  return path_ ? Value(path_to_text(get_().get<std::string>())) : get_();
}

void Field::refuse(const std::string& given, const std::string& origin,
                   const std::string& why) const {
  misuse(fmt::format("{}: {} = {} {}", origin, name_, given, why),
         fmt::format("{}: {}", name_, help_));
}

void Field::check_bounds(const Value& value, const std::string& origin) const {
  each_number(value, [&](double x) {
    if (std::isnan(x)) refuse(shown(value), origin, "is not a number");
    const bool low_ok = low_open_ ? x > low_ : x >= low_;
    const bool high_ok = high_open_ ? x < high_ : x <= high_;
    if (!low_ok || !high_ok || std::isinf(x))
      refuse(shown(value), origin,
             "is out of range, allowed: " + (range().empty() ? "finite numbers" : range()));
  });
}

void Field::check_bytes(const std::string& text, const std::string& origin) const {
  if (!path_ && !any_bytes_ && !is_utf8(text)) refuse(shown(text), origin, "is not UTF-8");
  if (path_ && text.find('\0') != std::string::npos)
    refuse(shown(text), origin, "holds a NUL, which no path does");
}

void Field::assign(const Value& given, const std::string& origin) {
  check_bounds(given, origin);
  const Value value = path_ && given.is_string()
                          ? Value(home_expanded(path_from_text(given.get<std::string>())))
                          : given;
  if (value.is_string()) check_bytes(value.get_ref<const std::string&>(), origin);
  const auto before = before_ ? before_ : std::make_shared<const Value>(get_());
  if (!set_(value)) {
    const bool is_one = (type_ == "list of int" && value.is_number_integer()) ||
                        (type_ == "list of float" && value.is_number());
    const std::string one = is_one ? ", as [" + shown(value) + "]" : "";
    if (choices_.empty())
      refuse(shown(value), origin, "has the wrong type, allowed: " + type_in_words(type_) + one);
    const std::string word = value.is_string() ? value.get<std::string>() : shown(value);
    const bool takes_list = type_ != join(choices_, " | ");
    refuse(
        shown(value), origin,
        "is unknown, " + suggestion(word, choices_) +
            (takes_list && nearest_name(word, choices_).empty() ? ", or a list of numbers" : ""));
  }
  origin_ = origin;
  before_ = before;
}

void Field::assign_text(const std::string& text, const std::string& origin) {
  const bool is_list = !text.empty() && text.front() == '[';
  if (is_text() || (!choices_.empty() && !is_list)) return assign(text, origin);
  Value value;
  try {
    value = parse_literal(text);
  } catch (const Error&) {
    refuse(text.empty() ? "(nothing)" : shown_as_typed(text), origin,
           "has the wrong type, allowed: " + type_in_words(type_));
  }
  assign(value, origin);
}

void FieldList::take(const FieldList& other, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const Field* field = other.find(name);
    if (field == nullptr) fail(fmt::format("there is no field {} to take", name));
    fields_.push_back(*field);
    fields_.back().section_ = section_;
  }
}

Field& FieldList::push(std::string name, std::string help, std::string type) {
  Field field;
  field.name_ = std::move(name);
  field.section_ = section_;
  field.help_ = std::move(help);
  field.type_ = std::move(type);
  // A run has some hundred, which are dear to move, and presets make a list each.
  constexpr size_t kMany = 32;
  if (fields_.size() == kMany) fields_.reserve(16 * kMany);
  fields_.push_back(std::move(field));
  return fields_.back();
}

// One overload a type; `slot` outlives the list by contract.
#define FATHOM_FIELD_TYPE(T, type_name)                                        \
  Field& FieldList::add(std::string name, T& slot, std::string help) {         \
    Field& field = push(std::move(name), std::move(help), type_name);          \
    field.get_ = [&slot] { return to_value(slot); };                           \
    field.set_ = [&slot](const Value& value) { return convert(value, slot); }; \
    return field;                                                              \
  }
FATHOM_FIELD_TYPE(bool, "bool")
FATHOM_FIELD_TYPE(int64_t, "int")
FATHOM_FIELD_TYPE(double, "float")
FATHOM_FIELD_TYPE(std::optional<bool>, "bool or None")
FATHOM_FIELD_TYPE(std::optional<int64_t>, "int or None")
FATHOM_FIELD_TYPE(std::optional<double>, "float or None")
FATHOM_FIELD_TYPE(IntList, "list of int")
FATHOM_FIELD_TYPE(FloatList, "list of float")
FATHOM_FIELD_TYPE(IntLists, "list of lists of int")
#undef FATHOM_FIELD_TYPE

Field& FieldList::add(std::string name, OneOrMore& slot, std::string help) {
  Field& field = push(std::move(name), std::move(help), "float, list of float or None");
  field.get_ = [&slot] {
    if (slot.numbers.empty()) return Value(nullptr);
    return slot.one ? Value(slot.numbers.front()) : Value(slot.numbers);
  };
  field.set_ = [&slot](const Value& value) {
    OneOrMore given;
    given.one = value.is_number();
    if (!convert(given.one ? Value::array({value}) : value, given.numbers)) return false;
    return slot = std::move(given), true;
  };
  return field;
}

Field& FieldList::add(std::string name, std::string& slot, std::string help) {
  Field& field = push(std::move(name), std::move(help), "text");
  field.get_ = [&slot] { return Value(slot); };
  field.set_ = [&slot](const Value& value) {
    if (!value.is_string()) return false;
    return slot = value.get<std::string>(), true;
  };
  return field;
}

Field& FieldList::add(std::string name, ChoiceOrList& slot, std::string help,
                      std::vector<std::string> choices) {
  Field& field = push(std::move(name), std::move(help), join(choices, " | ") + " | list of float");
  field.choices_ = std::move(choices);
  field.get_ = [&slot] { return slot.choice.empty() ? Value(slot.list) : Value(slot.choice); };
  field.set_ = [&slot, known = field.choices_](const Value& value) {
    FloatList list;
    if (value.is_array() && convert(value, list)) return slot = {"", std::move(list)}, true;
    if (!value.is_string()) return false;
    const auto choice = value.get<std::string>();
    if (std::find(known.begin(), known.end(), choice) == known.end()) return false;
    return slot = {choice, {}}, true;
  };
  return field;
}

Field& FieldList::add(std::string name, ChoiceOrTree& slot, std::string help,
                      std::vector<std::string> choices, EmptyTree empty) {
  Field& field =
      push(std::move(name), std::move(help), join(choices, " | ") + " | nested lists of int");
  field.choices_ = std::move(choices);
  field.get_ = [&slot, empty] {
    if (!slot.choice.empty()) return Value(slot.choice);
    return slot.list.empty() && empty != EmptyTree::kList ? Value() : to_value(slot.list);
  };
  field.set_ = [&slot, empty, known = field.choices_](const Value& value) {
    std::vector<IntTree> list;
    const bool none = value.is_null() || value == "None" || value == "none";
    if (none ? empty == EmptyTree::kRefused
             : value.is_array() && value.empty() && empty != EmptyTree::kList)
      return false;
    if (none || (value.is_array() && convert(value, list)))
      return slot = {"", std::move(list)}, true;
    if (!value.is_string()) return false;
    const auto choice = value.get<std::string>();
    if (std::find(known.begin(), known.end(), choice) == known.end()) return false;
    return slot = {choice, {}}, true;
  };
  return field;
}

Field& FieldList::add_choice(std::string name, std::string help, std::vector<std::string> choices,
                             std::function<std::string()> get,
                             std::function<bool(const std::string&)> set) {
  Field& field = push(std::move(name), std::move(help), join(choices, " | "));
  field.choices_ = std::move(choices);
  field.get_ = [get = std::move(get)] { return Value(get()); };
  field.set_ = [set = std::move(set)](const Value& value) {
    // A choice called "none" is written bare in a config file, where it reads as None.
    if (value.is_null()) return set("none");
    return value.is_string() && set(value.get<std::string>());
  };
  return field;
}

}  // namespace fathom
