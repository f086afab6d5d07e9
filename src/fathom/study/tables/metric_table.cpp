#include "fathom/study/tables/metric_table.h"

#include <string_view>
#include <vector>

namespace fathom {
namespace {

constexpr std::string_view kBaseline = "_baseline";
constexpr report::NumberForm kMeasured = {report::NumberForm::Kind::kGeneral, 4};

// Of "op_accuracy.ops2" where the part begins, behind the point; npos: of no part. Lists
// ("loss/3.1") and shares of a number ("execution_0.01") have points of their own: a part begins
// with a letter.
size_t begin_of_part(const std::string& name) {
  const size_t point = name.rfind('.');
  if (point == name.npos || point + 1 == name.size() || name.find('/') != name.npos)
    return name.npos;
  const char first = name[point + 1];
  return first >= 'a' && first <= 'z' ? point + 1 : name.npos;
}

bool is_detail(const std::string& name) {
  const bool is_baseline = name.size() > kBaseline.size() &&
                           name.compare(name.size() - kBaseline.size(), name.npos, kBaseline) == 0;
  return is_baseline || name.find('/') != name.npos || begin_of_part(name) != name.npos;
}

}  // namespace

report::Table measured_table(const std::map<std::string, double>& metrics,
                             const std::set<std::string>& told) {
  report::Table table;
  bool has_baselines = false;
  for (const auto& [name, value] : metrics) {
    if (is_detail(name) || told.count(name) > 0) continue;
    const auto baseline = metrics.find(name + std::string(kBaseline));
    const bool has_one = baseline != metrics.end();
    has_baselines = has_baselines || has_one;
    table.rows.push_back({name, value, has_one ? report::Cell(baseline->second) : "-"});
  }
  table.columns = {{"metric", report::Align::kLeft}, {"value", report::Align::kRight, kMeasured}};
  if (has_baselines)
    table.columns.push_back({"baseline", report::Align::kRight, kMeasured});
  else
    for (std::vector<report::Cell>& row : table.rows) row.pop_back();
  return table;
}

void add_parts_of_metrics(const std::map<std::string, double>& metrics, report::Report& report) {
  std::map<std::string, std::set<std::string>> metrics_of;  // by part
  for (const auto& [name, value] : metrics)
    if (const size_t begin = begin_of_part(name); begin != name.npos)
      metrics_of[name.substr(begin)].insert(name.substr(0, begin - 1));
  std::map<std::set<std::string>, std::vector<std::string>> parts_of;
  for (const auto& [part, names] : metrics_of) parts_of[names].push_back(part);
  for (const auto& [names, parts] : parts_of) {
    report::Table table;
    table.columns = {{"metric", report::Align::kLeft}};
    for (const std::string& part : parts)
      table.columns.push_back({part, report::Align::kRight, kMeasured});
    for (const std::string& name : names) {
      std::vector<report::Cell> row = {name};
      for (const std::string& part : parts) row.emplace_back(metrics.at(name + "." + part));
      table.rows.push_back(std::move(row));
    }
    report.add(std::move(table));
  }
}

}  // namespace fathom
