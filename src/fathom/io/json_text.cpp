#include "fathom/io/json_text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 32;
constexpr const char* kHint = "the file is damaged, or not the one that was meant";

// `check` is told of every value and may throw.
template <class Json, class Check>
Json parse_checked(std::string_view text, const std::string& name, const Check& check) {
  using Event = typename Json::parse_event_t;
  const auto see = [&](int depth, Event event, const Json& value) {
    const bool opens = event == Event::object_start || event == Event::array_start;
    if (opens && depth >= kMaxDepth)
      fail(fmt::format("{} is nested deeper than {} levels", name, kMaxDepth), kHint);
    check(event, value);
    return true;
  };
  try {
    return Json::parse(text, see);
  } catch (const json::parse_error& e) {
    fail(fmt::format("{} is not JSON: it breaks at byte {}", name, e.byte), kHint);
  } catch (const json::out_of_range&) {
    fail(fmt::format("{} has a number that is too large", name), kHint);
  }
}

}  // namespace

json parse_json(std::string_view text, const std::string& name) {
  return parse_checked<json>(text, name, [](json::parse_event_t, const json&) {});
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& name) {
  using Json = nlohmann::ordered_json;
  constexpr size_t kMostMembers = 4096;  // each is looked for among those before it
  std::vector<std::set<std::string>> open;
  const auto check = [&](Json::parse_event_t event, const Json& value) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event != Json::parse_event_t::key) return;
    const auto& key = value.get_ref<const std::string&>();
    if (!open.back().insert(key).second)
      fail(fmt::format("{} has {} twice in one object", name, quoted_start(key)),
           "keep one of the two");
    if (open.back().size() > kMostMembers)
      fail(fmt::format("{} has an object of more than {} members", name, kMostMembers), kHint);
  };
  return parse_checked<Json>(text, name, check);
}

std::string json_text(const json& value, int indent) {
  return value.dump(indent, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

std::string shown_json(const json& value) {
  if (value.is_string()) return quoted_start(value.get_ref<const std::string&>());
  return value.is_array() ? "a list" : value.is_object() ? "an object" : json_text(value);
}

}  // namespace fathom
