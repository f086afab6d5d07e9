#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/cli/plot/request.h"
#include "fathom/cli/verbs.h"
#include "fathom/config/config_file.h"
#include "fathom/track/stored_run.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

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

// How far a run had come at each step, by the series `train/<x>` of what it had used up by then.
class Course {
 public:
  Course(const RunStore& store, const std::string& run, PlotX x) : x_(x) {
    if (x == PlotX::kStep) return;
    counted_ = store.series(run, fmt::format("train/{}", name_of(x)));
    if (counted_.empty() && x == PlotX::kTokens) tokens_per_step_ = step_size(*store.find(run));
    if (counted_.empty() && tokens_per_step_ == 0)
      misuse(fmt::format("the run {} has not stored its {}", run, name_of(x)),
             "take --x=step, which every run has");
    counted_.insert(counted_.begin(), Point{0, 0});
  }

  // NaN: beyond what is known.
  double at(int64_t step) const {
    if (x_ == PlotX::kStep) return static_cast<double>(step);
    if (tokens_per_step_ > 0) return tokens_per_step_ * static_cast<double>(step);
    const auto next = std::lower_bound(counted_.begin(), counted_.end(), step,
                                       [](const Point& p, int64_t s) { return p.step < s; });
    if (next == counted_.end()) return kNone;
    if (next->step == step || next == counted_.begin()) return next->value;
    const Point &a = *(next - 1), &b = *next;
    return a.value + (b.value - a.value) * static_cast<double>(step - a.step) /
                         static_cast<double>(b.step - a.step);
  }

 private:
  // Of a run whose steps are all alike; 0: its configuration cannot be read any more.
  static double step_size(const RunRecord& record) {
    try {
      RunConfig config = preset_config(record.experiment);
      FieldList fields;
      add_fields(fields, config);
      read_config_text(record.config_toml, record.name + "/config.toml", fields);
      return static_cast<double>(config.tokens_per_step());
    } catch (const Error&) {
      return 0;
    }
  }

  PlotX x_;
  double tokens_per_step_ = 0;
  std::vector<Point> counted_;
};

report::Line line_of(const RunStore& store, const std::string& run, const std::string& metric,
                     const Course& course) {
  const std::vector<Point> points = store.series(run, metric);
  if (points.empty()) {
    const std::vector<std::string> names = store.metric_names(run);
    if (names.empty())
      fail(fmt::format("the run {} has no numbers yet", run),
           "they are stored with every evaluation and every log_interval steps");
    misuse(fmt::format("the run {} has no metric {}", run, in_quotes(metric)),
           "it has " + join(names, ", "));
  }
  report::Line line;
  for (const Point& point : points) {
    line.x.push_back(course.at(point.step));
    line.y.push_back(point.value);
  }
  return line;
}

// What is looked for in such a picture, in numbers.
report::Table ends_of(const report::Plot& plot) {
  const report::NumberForm wide = {report::NumberForm::Kind::kGeneral, 8};
  const report::NumberForm count = {report::NumberForm::Kind::kCount};
  report::Table table;
  table.columns = {
      {"curve", report::Align::kLeft},         {"points", report::Align::kRight, count},
      {"lowest", report::Align::kRight, wide}, {"at " + plot.x.label, report::Align::kRight, wide},
      {"last", report::Align::kRight, wide},   {"at " + plot.x.label, report::Align::kRight, wide}};
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

int run_plot(const Arguments& arguments) {
  const auto request = parse_plot(arguments);
  if (!request) return 0;
  const std::vector<std::string> metrics = request->metrics();
  report::Plot plot;
  plot.x = {name_of(request->x), request->log_x};
  plot.y = {join(metrics, ", "), request->log_y};
  plot.title = request->runs.size() == 1 && metrics.size() == 1
                   ? fmt::format("{} of {}", metrics[0], request->runs[0])
                   : join(metrics, ", ");
  std::vector<StoredRun> runs;
  for (const std::string& asked : request->runs) runs.push_back(stored_run(asked));
  for (size_t i = 0; i < runs.size(); ++i) {
    const StoredRun& run = runs[i];
    // Runs of one name in several folders are told apart by what was typed.
    const auto same = [&](const StoredRun& r) { return r.name == run.name; };
    const bool unique = std::count_if(runs.begin(), runs.end(), same) == 1;
    const std::string& shown = unique ? run.name : request->runs[i];
    const RunStore store = open_store(run);
    const Course course(store, run.name, request->x);
    for (const std::string& metric : metrics) {
      plot.lines.push_back(line_of(store, run.name, metric, course));
      plot.lines.back().name = metrics.size() == 1         ? shown
                               : request->runs.size() == 1 ? metric
                                                           : shown + ": " + metric;
    }
  }
  report::Report report;
  report.title = plot.title;
  report::Table ends = ends_of(plot);
  report.add(std::move(plot));
  report.add(std::move(ends), report::kInTerminal | report::kInHtml);
  give(report, request->output);
  return 0;
}

}  // namespace

Verb verb_plot() {
  return {"plot", "curves of runs in one picture", 95, run_plot};
}

}  // namespace fathom
