#include "fathom/model/spec/loop_metric_names.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "fathom/model/spec/loop_counts.h"

namespace fathom {
namespace {

// Where the group begins in "train/loops/GROUP"; nothing: it is no such metric.
std::optional<size_t> begin_of_group(const std::string& series) {
  const size_t slash = series.rfind('/');
  if (slash == std::string::npos || slash + 1 == series.size()) return std::nullopt;
  const std::string before = series.substr(0, slash);
  // A term of an objective may have any name.
  if (before.rfind("part/", 0) == 0 || before.find("/part/") != std::string::npos)
    return std::nullopt;
  const std::string metric = before.substr(before.rfind('/') + 1);
  for (const char* of_groups : {"loops", "loop_iterations", "loop_saved", "loop_exits"})
    if (metric == of_groups) return slash + 1;
  return std::nullopt;
}

}  // namespace

std::vector<std::string> loop_group_keys(const DepthPlan& plan) {
  std::vector<std::string> keys = loop_group_names(plan);
  for (std::string& key : keys) {
    key.erase(std::remove(key.begin(), key.end(), ','), key.end());
    std::replace(key.begin(), key.end(), ' ', '_');
  }
  return keys;
}

bool numbers_loop_group(const std::string& series) {
  const auto group = begin_of_group(series);
  return group && std::isdigit(static_cast<unsigned char>(series[*group])) != 0;
}

std::string with_numbered_group(const std::string& series, const std::vector<std::string>& keys) {
  const auto group = begin_of_group(series);
  if (!group) return series;
  const size_t point = std::min(series.find('.', *group), series.size());
  const auto key = std::find(keys.begin(), keys.end(), series.substr(*group, point - *group));
  if (key == keys.end()) return series;
  return series.substr(0, *group) + std::to_string(key - keys.begin()) + series.substr(point);
}

}  // namespace fathom
