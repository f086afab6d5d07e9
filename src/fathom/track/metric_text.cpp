#include "fathom/track/metric_text.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

namespace fathom {
namespace {

std::string number_text(const std::string& name, double value) {
  for (const char* share : {"rate", "accuracy", "correct", "confident", "fallback"})
    if (name.find(share) != std::string::npos) return fmt::format("{:.3f}", value);
  return fmt::format("{:.4f}", value);
}

// Of "name/3": 3. Nothing for other names.
std::optional<int> list_index(const std::string& name) {
  const size_t slash = name.rfind('/');
  if (slash == std::string::npos) return std::nullopt;
  int index = 0;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + slash + 1, end, index);
  if (error != std::errc() || rest != end || index < 0) return std::nullopt;
  return index;
}

}  // namespace

std::string metrics_text(const std::map<std::string, double>& metrics) {
  std::map<std::string, std::map<int, double>> lists;
  std::string out;
  for (const auto& [name, value] : metrics) {
    if (const std::optional<int> i = list_index(name)) {
      lists[name.substr(0, name.rfind('/'))][*i] = value;
      continue;
    }
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", name, number_text(name, value));
  }
  for (const auto& [name, values] : lists) {
    out += fmt::format("{}{} [", out.empty() ? "" : ", ", name);
    for (const auto& [i, value] : values)
      out += (i == values.begin()->first ? "" : " ") + number_text(name, value);
    out += "]";
  }
  return out;
}

}  // namespace fathom
