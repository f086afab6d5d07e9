#include "fathom/track/metric_text.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <vector>

#include "fathom/base/text.h"

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

std::map<std::string, std::map<int, double>> lists_of(
    const std::map<std::string, double>& metrics) {
  std::map<std::string, std::map<int, double>> lists;
  for (const auto& [name, value] : metrics)
    if (const std::optional<int> i = list_index(name))
      lists[name.substr(0, name.rfind('/'))][*i] = value;
  return lists;
}

std::string metrics_text(const std::map<std::string, double>& metrics) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : metrics)
    if (!list_index(name)) parts.push_back(name + " " + number_text(name, value));
  for (const auto& [name, values] : lists_of(metrics)) {
    const bool counts_from_0 = values.rbegin()->first + 1 == static_cast<int>(values.size());
    std::vector<std::string> shown;
    for (const auto& [i, value] : values)
      shown.push_back((counts_from_0 ? "" : fmt::format("{}: ", i)) + number_text(name, value));
    parts.push_back(fmt::format("{} [{}]", name, join(shown, counts_from_0 ? " " : ", ")));
  }
  return join(parts, ", ");
}

}  // namespace fathom
