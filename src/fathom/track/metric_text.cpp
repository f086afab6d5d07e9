#include "fathom/track/metric_text.h"

#include <fmt/format.h>

#include <vector>

namespace fathom {
namespace {

std::string number_text(const std::string& name, double value) {
  for (const char* share : {"rate", "accuracy", "correct", "confident", "fallback"})
    if (name.find(share) != std::string::npos) return fmt::format("{:.3f}", value);
  return fmt::format("{:.4f}", value);
}

}  // namespace

std::string metrics_text(const std::map<std::string, double>& metrics) {
  std::map<std::string, std::map<int, double>> lists;
  std::string out;
  for (const auto& [name, value] : metrics) {
    const size_t slash = name.find('/');
    if (slash != std::string::npos) {
      lists[name.substr(0, slash)][std::stoi(name.substr(slash + 1))] = value;
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
