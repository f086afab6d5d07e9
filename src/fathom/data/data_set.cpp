#include "fathom/data/data_set.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {

Cursor::Cursor(std::initializer_list<std::pair<std::string, int64_t>> numbers) {
  for (const auto& [name, value] : numbers) set(name, value);
}

int64_t Cursor::operator[](const std::string& name) const {
  const auto found = numbers_.find(name);
  return found == numbers_.end() ? 0 : found->second;
}

void Cursor::set(const std::string& name, int64_t value) {
  if (value == 0)
    numbers_.erase(name);
  else
    numbers_[name] = value;
}

Cursor Cursor::part(const std::string& name) const {
  const std::string prefix = name + ".";
  Cursor out;
  for (auto at = numbers_.lower_bound(prefix);
       at != numbers_.end() && at->first.compare(0, prefix.size(), prefix) == 0; ++at)
    out.numbers_[at->first.substr(prefix.size())] = at->second;
  return out;
}

void Cursor::set_part(const std::string& name, const Cursor& place) {
  const std::string prefix = name + ".";
  const Cursor before = part(name);
  for (const auto& [known, value] : before.numbers_) numbers_.erase(prefix + known);
  for (const auto& [theirs, value] : place.numbers_) numbers_[prefix + theirs] = value;
}

void to_json(nlohmann::json& json, const Cursor& cursor) {
  json = nlohmann::json::object();
  for (const auto& [name, value] : cursor.numbers()) json[name] = value;
}

void from_json(const nlohmann::json& json, Cursor& cursor) {
  constexpr size_t kMost = 1024, kLongest = 256;  // a mixture of many parts has few for each
  if (!json.is_object() || json.size() > kMost)
    fail("the data position is not a list of some counts by name");
  cursor = {};
  for (const auto& [name, value] : json.items()) {
    if (name.size() > kLongest || !value.is_number_integer() || value < 0 || value > INT64_MAX)
      fail(fmt::format("the data position has no count under {}", quoted_start(name)));
    cursor.set(name, value.get<int64_t>());
  }
}

}  // namespace fathom
