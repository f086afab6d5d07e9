#include "fathom/study/loops/depth_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fathom/base/text.h"
#include "fathom/report/render.h"

namespace fathom {
namespace {

using nlohmann::json;

std::string with_error(double value, double error, bool sign) {
  const std::string number = sign ? fmt::format("{:+.4f}", value) : fmt::format("{:.4f}", value);
  return number + (std::isfinite(error) ? fmt::format(" +- {:.4f}", error) : " +- n/a");
}

json number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

// Rows of fixed counts between two counts, by count.
report::Line line_of(const DepthTable& table, const char* name, int64_t from, int64_t to) {
  std::vector<const DepthRow*> rows;
  for (const DepthRow& row : table.rows)
    if (row.count && *row.count >= from && *row.count <= to) rows.push_back(&row);
  std::sort(rows.begin(), rows.end(),
            [](const DepthRow* a, const DepthRow* b) { return *a->count < *b->count; });
  report::Line line{name, {}, {}};
  for (const DepthRow* row : rows) {
    line.x.push_back(static_cast<double>(*row->count));
    line.y.push_back(row->loss);
    const double error = std::isfinite(row->standard_error) ? row->standard_error : 0;
    line.low.push_back(row->loss - error);
    line.high.push_back(row->loss + error);
  }
  return line;
}

report::Plot curve(const DepthTable& table) {
  report::Plot plot;
  plot.title = "loss over loops";
  plot.x.label = "loops";
  plot.y.label = table.unit;
  const int64_t most = table.trained.value_or(INT64_MAX);
  plot.lines = {line_of(table, table.trained ? "as deep as trained" : "fixed counts", 1, most)};
  if (!table.trained) return plot;
  const report::Line beyond = line_of(table, "deeper than trained", most, INT64_MAX);
  if (beyond.x.size() > 1 || (beyond.x.size() == 1 && beyond.x[0] > static_cast<double>(most)))
    plot.lines.push_back(beyond);
  return plot;
}

}  // namespace

void add_depths(const DepthTable& table, report::Report& report) {
  const bool flops = std::any_of(table.rows.begin(), table.rows.end(),
                                 [](const DepthRow& row) { return row.flops > 0; });
  const bool iterations =
      std::any_of(table.rows.begin(), table.rows.end(),
                  [](const DepthRow& row) { return row.iterations.has_value(); });
  const bool infer = std::any_of(table.rows.begin(), table.rows.end(),
                                 [](const DepthRow& row) { return row.infer.has_value(); });
  report::Table out;
  out.columns = {{"evaluation", report::Align::kLeft, {}, {}, report::Narrow::kFold}, {"loss"}};
  if (infer)
    out.columns.push_back({"infer", report::Align::kRight, {report::NumberForm::Kind::kFixed, 4}});
  out.columns.push_back({"difference"});
  if (iterations)
    out.columns.push_back(
        {"iterations", report::Align::kRight, {report::NumberForm::Kind::kFixed, 2}});
  if (flops) out.columns.push_back({"FLOPs/token"});
  bool any_beyond = false;
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const DepthRow& row = table.rows[i];
    const bool beyond = row.count && table.trained && *row.count > *table.trained;
    any_beyond = any_beyond || beyond;
    std::vector<report::Cell> cells = {row.name + (beyond ? " (beyond)" : ""),
                                       with_error(row.loss, row.standard_error, false)};
    if (infer) cells.push_back(row.infer ? report::Cell(*row.infer) : report::Cell("-"));
    cells.push_back(i == table.reference
                        ? report::Cell("-")
                        : report::Cell(with_error(row.difference, row.difference_error, true)));
    if (iterations)
      cells.push_back(row.iterations ? report::Cell(*row.iterations) : report::Cell());
    if (flops) cells.emplace_back(human_count(row.flops));
    out.rows.push_back(std::move(cells));
  }
  report.add(std::move(out));
  std::string how =
      fmt::format("Differences are from {}, paired by sequence.", table.rows[table.reference].name);
  if (infer)
    how +=
        " They are of what is answered: of infer, the loss of the layer that answers, where there "
        "is one; loss is the last layer's.";
  if (any_beyond) how += " Beyond: more loops than training had.";
  report.add(report::Paragraph{how});
  const auto fixed = std::count_if(table.rows.begin(), table.rows.end(),
                                   [](const DepthRow& row) { return row.count.has_value(); });
  if (fixed > 1) report.add(curve(table));
}

json depth_numbers(const DepthTable& table) {
  json out = json::array();
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const DepthRow& row = table.rows[i];
    json one = {{"evaluation", report::json_word(row.name)},
                {"loss", number(row.loss)},
                {"standard_error", number(row.standard_error)}};
    if (row.infer) one["infer"] = number(*row.infer);
    if (row.count) one["loops"] = *row.count;
    if (row.iterations) one["iterations"] = number(*row.iterations);
    if (row.flops > 0) one["flops_per_token"] = row.flops;
    if (i != table.reference) {
      one["difference"] = number(row.difference);
      one["difference_error"] = number(row.difference_error);
    }
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace fathom
