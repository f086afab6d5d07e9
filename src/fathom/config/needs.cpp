// Keys that were given although what they need does not hold.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/config/fields.h"

namespace fathom {
namespace {

bool asks_for_nothing(const Value& value) {
  return value.is_null() || (value.is_array() && value.empty()) || value == "";
}

// The other keys that a need names, of those that were typed: "automatic_loop_exit = None or true".
std::vector<const Field*> typed_in(const std::string& need, const FieldList& list,
                                   const Field& field) {
  constexpr const char* kOfNames = "abcdefghijklmnopqrstuvwxyz0123456789_";
  std::vector<const Field*> out;
  for (size_t at = need.find_first_of(kOfNames); at != need.npos;
       at = need.find_first_of(kOfNames, at)) {
    const size_t end = std::min(need.find_first_not_of(kOfNames, at), need.size());
    const Field* const other = list.find(need.substr(at, end - at));
    if (other != nullptr && other != &field && other->is_typed()) out.push_back(other);
    at = end;
  }
  return out;
}

}  // namespace

std::vector<std::string> without_effect(const FieldList& list) {
  std::vector<std::string> out;
  for (const Field& field : list.all()) {
    if (field.origin_.empty()) continue;
    const Value value = field.value();
    if (asks_for_nothing(value) || (!field.is_typed() && value == *field.before_)) continue;
    for (const Field::Need& need : field.needs_) {
      if (need.holds()) continue;
      out.push_back(fmt::format("{} has no effect: it needs {}", field.setting(), need.what));
      break;
    }
  }
  return out;
}

void refuse_contradictions(const FieldList& list, const std::vector<std::string>& sections,
                           const std::vector<std::string>& acting) {
  const auto holds = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const Field& field : list.all()) {
    const Value value = field.value();
    const bool is_off = asks_for_nothing(value) || value == "none" || value == false;
    if (is_off || !field.is_typed() || !holds(sections, field.section()) ||
        holds(acting, field.name()))
      continue;
    for (const Field::Need& need : field.needs_) {
      if (need.holds()) continue;
      const std::vector<const Field*> others = typed_in(need.what, list, field);
      if (others.empty()) continue;
      misuse(fmt::format("{} with {}: it needs {}", field.setting(), others.front()->setting(),
                         need.what),
             fmt::format("leave out --{} or --{}", field.name(), others.front()->name()));
    }
  }
}

}  // namespace fathom
