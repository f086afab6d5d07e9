#include "fathom/io/json_text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 32;
constexpr const char* kHint = "the file is damaged, or not the one that was meant";

}  // namespace

json parse_json(std::string_view text, const std::string& name) {
  using Event = json::parse_event_t;
  const auto check_depth = [&](int depth, Event event, const json&) {
    const bool opens = event == Event::object_start || event == Event::array_start;
    if (opens && depth >= kMaxDepth)
      fail(fmt::format("{} is nested deeper than {} levels", name, kMaxDepth), kHint);
    return true;
  };
  try {
    return json::parse(text, check_depth);
  } catch (const json::parse_error& e) {
    fail(fmt::format("{} is not JSON: it breaks at byte {}", name, e.byte), kHint);
  } catch (const json::out_of_range&) {
    fail(fmt::format("{} has a number that is too large", name), kHint);
  }
}

std::string json_text(const json& value, int indent) {
  return value.dump(indent, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

std::string shown_json(const json& value) {
  if (value.is_string()) return quoted_start(value.get_ref<const std::string&>());
  return value.is_array() ? "a list" : value.is_object() ? "an object" : json_text(value);
}

}  // namespace fathom
