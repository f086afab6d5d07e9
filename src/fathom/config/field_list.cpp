// Fields by name, and what was given to them.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/fields.h"
#include "fathom/config/literal.h"

namespace fathom {
namespace {

std::string normalised(const std::string& name) {
  std::string out = name;
  for (char& c : out)
    if (c == '-') c = '_';
  return out;
}

// What is given under that name, in the field's own terms. 0 and 1 are False and True, as of every
// switch.
Value meant(const Field& field, const std::string& name, const Value& given) {
  const Field::SwitchAlias* alias = field.switch_alias(name);
  if (alias == nullptr) return given;
  const bool is_on = given.is_boolean() ? given.get<bool>() : given == 1;
  const bool is_off = given.is_boolean() ? !is_on : given == 0;
  if (is_on) return parse_literal(alias->if_true);
  return is_off ? parse_literal(alias->if_false) : given;
}

std::string meant_text(const Field& field, const std::string& name, const std::string& text) {
  const Field::SwitchAlias* alias = field.switch_alias(name);
  if (alias == nullptr) return text;
  if (text == "true" || text == "True" || text == "1") return alias->if_true;
  return text == "false" || text == "False" || text == "0" ? alias->if_false : text;
}

}  // namespace

const Field::SwitchAlias* Field::switch_alias(const std::string& name) const {
  for (const SwitchAlias& alias : switch_aliases_)
    if (alias.name == normalised(name)) return &alias;
  return nullptr;
}

const Field* FieldList::find(const std::string& name) const {
  const std::string key = normalised(name);
  for (const Field& field : fields_) {
    if (field.name_ == key) return &field;
    for (const std::string& alias : field.aliases_)
      if (alias == key) return &field;
  }
  return nullptr;
}

Field* FieldList::find(const std::string& name) {
  return const_cast<Field*>(static_cast<const FieldList*>(this)->find(name));
}

bool FieldList::given(const std::string& name) const {
  const Field* field = find(name);
  return field != nullptr && !field->origin_.empty();
}

bool FieldList::changes(const std::string& name) const {
  const Field* field = find(name);
  return given(name) && field->value() != *field->before_;
}

bool FieldList::given_after(const std::string& name, const std::string& other) const {
  const Field *one = find(name), *two = find(other);
  return one != nullptr && one->turn_ > (two == nullptr ? 0 : two->turn_);
}

std::string FieldList::unknown_explained(const std::string& name, bool typed) const {
  return explain_unknown_ ? explain_unknown_(*this, normalised(name), typed) : "";
}

Field* FieldList::require(const std::string& name, const std::string& origin) {
  if (Field* field = find(name)) return field;
  for (const ForeignKey& foreign : foreign_) {
    if (foreign.name != normalised(name)) continue;
    if (!foreign.hint.empty())
      misuse(fmt::format("{}: {} is not supported: {}", origin, foreign.name, foreign.reason),
             foreign.hint);
    notices_.push_back(fmt::format("{} has no effect: {}", foreign.name, foreign.reason));
    return nullptr;
  }
  std::string hint = unknown_explained(name, /*typed=*/false);
  if (hint.empty()) {
    std::vector<std::string> names;
    for (const Field& field : fields_) {
      names.push_back(field.name_);
      for (const std::string& alias : field.aliases_) names.push_back(alias);
    }
    const std::string nearest = nearest_name(normalised(name), names);
    hint = nearest.empty() ? "`fathom train --help=all` lists every key"
                           : fmt::format("did you mean {}?", nearest);
  }
  misuse(fmt::format("{}: unknown key {}", origin, escaped(name)), hint);
}

void FieldList::set(const std::string& name, const Value& value, const std::string& origin) {
  if (Field* field = require(name, origin)) {
    field->assign(meant(*field, name, value), origin);
    field->turn_ = ++turns_;
  }
}

void FieldList::set_text(const std::string& name, const std::string& text,
                         const std::string& origin) {
  if (Field* field = require(name, origin)) {
    field->assign_text(meant_text(*field, name, text), origin);
    field->turn_ = ++turns_;
  }
}

}  // namespace fathom
