#include "fathom/study/tables/metric_table.h"

#include <vector>

#include "fathom/track/metric_text.h"

namespace fathom {
namespace {

constexpr report::NumberForm kMeasured = {report::NumberForm::Kind::kGeneral, 4};

}  // namespace

report::Table measured_table(const std::map<std::string, double>& metrics,
                             const std::set<std::string>& told) {
  report::Table table;
  bool has_baselines = false;
  for (const auto& [name, value] : metrics) {
    const bool is_of_list = name.find('/') != name.npos;
    if (is_detail(name) || is_of_list || told.count(name) > 0) continue;
    const auto baseline = metrics.find(name + std::string(kBaselineEnding));
    const bool has_one = baseline != metrics.end();
    has_baselines = has_baselines || has_one;
    table.rows.push_back({name, value, has_one ? report::Cell(baseline->second) : "-"});
  }
  table.columns = {{"metric", report::Align::kLeft, {}, {}, report::Narrow::kFold},
                   {"value", report::Align::kRight, kMeasured}};
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
    table.columns = {{"metric", report::Align::kLeft, {}, {}, report::Narrow::kFold}};
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
