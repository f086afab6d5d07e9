#include "fathom/study/many_runs/plot_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "fathom/base/error.h"
#include "fathom/base/lines.h"
#include "fathom/base/text.h"
#include "fathom/study/many_runs/stored_series.h"
#include "fathom/study/many_runs/used_up.h"
#include "fathom/track/stored_run.h"

namespace fathom {
namespace {

const char* name_of(PlotX x) {
  switch (x) {
    case PlotX::kTokens:
      return "tokens";
    case PlotX::kSeconds:
      return "seconds";
    case PlotX::kFlops:
      return "flops";
    case PlotX::kStep:
      break;
  }
  return "step";
}

// Of a run of before they were counted: tokens of each of its steps. 0: its stages may differ in
// them, or its configuration cannot be read any more.
double step_size(const StoredRun& run, const RunRecord& record) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::exists(fs::path(run.store).parent_path() / run.name / "plan.json", ignored)) return 0;
  const std::optional<RunConfig> config = config_of(record);
  return config ? static_cast<double>(config->tokens_per_step()) : 0;
}

UsedUp used_up(const RunStore& store, const StoredRun& run, PlotX x) {
  UsedUp used(store, run.name, name_of(x));
  if (!used.is_known() && x == PlotX::kTokens)
    used.assume_alike(step_size(run, *store.find(run.name)));
  if (!used.is_known())
    misuse(fmt::format("the run {} has not stored its {}", run.name, name_of(x)),
           "take --x=step, which every run has");
  return used;
}

// The places of a run's numbers on the picture's axis.
std::vector<double> places(const RunStore& store, const StoredRun& run, PlotX x,
                           const std::vector<Point>& points) {
  std::vector<double> out;
  for (const Point& point : points) out.push_back(static_cast<double>(point.step));
  if (x == PlotX::kStep) return out;
  const UsedUp used = used_up(store, run, x);
  for (double& place : out) place = used.at(place);
  return out;
}

report::Line line_of(const RunStore& store, const StoredRun& run, const std::string& metric,
                     PlotX x) {
  const std::vector<Point> points = series_of(store, *store.find(run.name), metric);
  if (points.empty()) {
    const std::vector<std::string> names = store.metric_names(run.name);
    if (names.empty())
      fail(fmt::format("the run {} has no numbers yet", run.name),
           "they are stored with every evaluation and every log_interval steps");
    refuse_metric(run.name, metric, names);
  }
  report::Line line;
  line.x = places(store, run, x, points);
  for (const Point& point : points) line.y.push_back(point.value);
  return line;
}

// What is looked for in such a picture, in numbers.
report::Table ends_of(const report::Plot& plot) {
  const report::NumberForm wide = {report::NumberForm::Kind::kGeneral, 8};
  const report::NumberForm count = {report::NumberForm::Kind::kCount};
  report::Table table;
  table.columns = {{"curve", report::Align::kLeft, {}, {}, report::Narrow::kFold},
                   {"points", report::Align::kRight, count},
                   {"lowest", report::Align::kRight, wide},
                   {"at " + plot.x.label, report::Align::kRight, wide},
                   {"last", report::Align::kRight, wide},
                   {"at " + plot.x.label, report::Align::kRight, wide}};
  for (const report::Line& line : plot.lines) {
    size_t least = line.y.size();
    for (size_t i = 0; i < line.y.size(); ++i)
      if (line.y[i] == line.y[i] && (least == line.y.size() || line.y[i] < line.y[least]))
        least = i;
    std::vector<report::Cell> row = {line.name, line.y.size()};
    for (const size_t i : {least, line.y.size() - 1}) {
      row.push_back(i < line.y.size() ? report::Cell(line.y[i]) : report::Cell("-"));
      row.push_back(i < line.y.size() ? report::Cell(line.x[i]) : report::Cell("-"));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace

std::vector<std::string> PlotChoice::metrics() const {
  std::vector<std::string> names;
  for (const std::string_view part : split(metric, ','))
    if (!trim(part).empty()) names.emplace_back(trim(part));
  return names;
}

report::Report plot_runs(const PlotChoice& choice) {
  const std::vector<std::string> metrics = choice.metrics();
  report::Plot plot;
  plot.x = {name_of(choice.x), choice.log_x};
  plot.y = {join(metrics, ", "), choice.log_y};
  plot.title = choice.runs.size() == 1 && metrics.size() == 1
                   ? fmt::format("{} of {}", metrics[0], choice.runs[0])
                   : join(metrics, ", ");
  std::vector<StoredRun> runs;
  for (const std::string& asked : choice.runs) runs.push_back(stored_run(asked));
  for (size_t i = 0; i < runs.size(); ++i) {
    const StoredRun& run = runs[i];
    // Runs of one name in several folders are told apart by what was typed.
    const auto same = [&](const StoredRun& r) { return r.name == run.name; };
    const bool unique = std::count_if(runs.begin(), runs.end(), same) == 1;
    const std::string& shown = unique ? run.name : choice.runs[i];
    const RunStore store = open_store(run);
    for (const std::string& metric : metrics) {
      plot.lines.push_back(line_of(store, run, metric, choice.x));
      plot.lines.back().name = metrics.size() == 1       ? shown
                               : choice.runs.size() == 1 ? metric
                                                         : shown + ": " + metric;
    }
  }
  report::Report report;
  report.title = plot.title;
  report::Table ends = ends_of(plot);
  report.add(std::move(plot));
  report.add(std::move(ends), report::kInTerminal | report::kInHtml);
  return report;
}

}  // namespace fathom
