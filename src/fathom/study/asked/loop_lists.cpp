#include "fathom/study/asked/loop_lists.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"
#include "fathom/io/json_text.h"

namespace fathom {
namespace {

constexpr int64_t kMostCount = 4096;
constexpr size_t kMostEntries = 64;

nlohmann::json list_of(const std::string& key, const std::string& text, const char* example) {
  const bool bare = text.empty() || text.front() != '[';
  nlohmann::json list;
  try {
    list = parse_literal(bare ? "[" + text + "]" : text);
  } catch (const Error&) {
  }
  if (!list.is_array() || list.empty() || list.size() > kMostEntries)
    misuse(
        fmt::format("{} = {} is no list of 1 to {} numbers", key, quoted_start(text), kMostEntries),
        fmt::format("for example --{}={}", key, example));
  return list;
}

}  // namespace

std::vector<int64_t> loop_counts_of(const std::string& key, const std::string& text) {
  std::set<int64_t> counts;
  for (const nlohmann::json& entry : list_of(key, text, "1,5,15,30")) {
    if (!entry.is_number_integer() || entry < 1 || entry > kMostCount)
      misuse(fmt::format("{} has the entry {}, a loop runs 1 to {} times", key,
                         quoted_start(json_text(entry)), kMostCount),
             fmt::format("for example --{}=1,5,15,30", key));
    counts.insert(entry.get<int64_t>());
  }
  return {counts.begin(), counts.end()};
}

std::vector<double> thresholds_of(const std::string& key, const std::string& text) {
  std::vector<double> thresholds;
  for (const nlohmann::json& entry : list_of(key, text, "0.1,0.03,0.01")) {
    const double value = entry.is_number() ? entry.get<double>() : std::nan("");
    if (!std::isfinite(value) || value < 0)
      misuse(fmt::format("{} has the entry {}, a threshold is a number of at least 0", key,
                         quoted_start(json_text(entry))),
             fmt::format("for example --{}=0.1,0.03,0.01", key));
    thresholds.push_back(value);
  }
  return thresholds;
}

}  // namespace fathom
