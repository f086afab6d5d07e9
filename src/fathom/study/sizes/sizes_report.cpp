// Sizes as people read them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "fathom/base/text.h"
#include "fathom/study/sizes/size_facts.h"

namespace fathom {
namespace {

using report::NumberForm;

constexpr NumberForm kThree = {NumberForm::Kind::kGeneral, 3};
constexpr NumberForm kFixed3 = {NumberForm::Kind::kFixed, 3};
constexpr NumberForm kFixed4 = {NumberForm::Kind::kFixed, 4};
constexpr NumberForm kPercent = {NumberForm::Kind::kPercent, 1};
constexpr unsigned kPictures = report::kInHtml | report::kInSvg;

report::Column column(const char* name, const NumberForm& form = kThree) {
  return {name, report::Align::kRight, form};
}

// Of the value of that name; a step that has several of it shows the first.
const Size& size_of(const StepSizes& step, const std::string& name) {
  static const Size nothing;
  for (const NamedSize& value : step.values)
    if (value.name == name) return value.size;
  return nothing;
}

report::Table size_table(const SizeFacts& facts) {
  report::Table table;
  table.title = "Root mean squares";
  table.columns = {{"layer", report::Align::kLeft},
                   column("r"),
                   column("n"),
                   column("a"),
                   column("m"),
                   column("delta"),
                   column("r'"),
                   column("cosine", kFixed3)};
  for (const StepSizes& s : facts.steps)
    table.rows.push_back({s.name, s.before.rms, s.n.rms, size_of(s, "a").rms, size_of(s, "m").rms,
                          s.delta.rms, s.after.rms, s.cosine});
  return table;
}

report::Table carry_table(const SizeFacts& facts) {
  report::Table table;
  table.title = "The carry after the block";
  table.columns = {{"layer", report::Align::kLeft},
                   column("sd over channels"),
                   column("largest"),
                   column("rank"),
                   column("loss here", kFixed4),
                   column("own loss", kFixed4)};
  for (const StepSizes& s : facts.steps)
    table.rows.push_back(
        {s.name, s.after.sd, s.after.largest, s.effective_rank, s.lens, s.readout});
  return table;
}

report::Table mover_table(const SizeFacts& facts) {
  report::Table table;
  table.title = "Who moves it";
  table.columns = {{"layer", report::Align::kLeft},
                   column("gradient"),
                   {"|A| < eps", report::Align::kRight, kPercent},
                   {"lost in bfloat16", report::Align::kRight, kPercent},
                   {"lost in float32", report::Align::kRight, kPercent}};
  for (const StepSizes& s : facts.steps)
    table.rows.push_back({s.name, s.gradient, s.near_zero, s.lost_bfloat16, s.lost_float32});
  return table;
}

report::Table growth_table(const SizeFacts& facts) {
  const Growth growth = growth_of(sizes_by_depth(facts));
  report::Table table;
  table.title = "Growth of the carry's root mean square over depth";
  table.columns = {{"verdict", report::Align::kLeft}, column("a step adds"),
                   column("R^2 linear", kFixed4),     column("or times", kFixed4),
                   column("R^2 geometric", kFixed4),  column("late times", kFixed4)};
  table.rows.push_back({name_of(growth.kind), growth.slope, growth.r2_linear, growth.ratio,
                        growth.r2_geometric, growth.late_ratio});
  return table;
}

report::Table gradient_table(const SizeFacts& facts) {
  report::Table table;
  table.title = "Gradient of the loss by the parameters of each part";
  table.columns = {{"part", report::Align::kLeft, {}, {}, report::Narrow::kFold},
                   {"parameters", report::Align::kRight, {NumberForm::Kind::kCount, 0}},
                   column("norm")};
  for (const PartGradient& g : facts.gradients)
    table.rows.push_back({g.name, g.parameters, g.norm});
  return table;
}

struct Curve {
  const char* name;
  double (*of)(const StepSizes&);
};

report::Plot step_plot(const SizeFacts& facts, const char* title, report::Axis y,
                       const std::vector<Curve>& curves) {
  report::Plot plot;
  plot.title = title;
  plot.x.label = "step of the walk";
  plot.y = std::move(y);
  for (const Curve& curve : curves) {
    report::Line line{curve.name, {}, {}};
    for (size_t i = 0; i < facts.steps.size(); ++i) {
      line.x.push_back(static_cast<double>(i + 1));
      line.y.push_back(curve.of(facts.steps[i]));
    }
    const auto known = [](double value) { return std::isfinite(value); };
    if (std::any_of(line.y.begin(), line.y.end(), known)) plot.lines.push_back(std::move(line));
  }
  return plot;
}

void add_plots(const SizeFacts& facts, report::Report& report) {
  const auto add = [&](report::Plot plot, unsigned shown) {
    if (!plot.lines.empty()) report.add(std::move(plot), shown);
  };
  add(step_plot(facts, "root mean squares by depth", {"root mean square", /*log=*/true},
                {{"carry r'", [](const StepSizes& s) { return s.after.rms; }},
                 {"delta", [](const StepSizes& s) { return s.delta.rms; }},
                 {"a", [](const StepSizes& s) { return size_of(s, "a").rms; }},
                 {"m", [](const StepSizes& s) { return size_of(s, "m").rms; }}}),
      report::kEverywhere);
  add(step_plot(facts, "loss if the carry were read", {"nats per target", false},
                {{"last norm and head", [](const StepSizes& s) { return s.lens; }},
                 {"own readout", [](const StepSizes& s) { return s.readout; }}}),
      kPictures);
  add(step_plot(facts, "effective rank of the carry", {"effective rank", false},
                {{"carry r'", [](const StepSizes& s) { return s.effective_rank; }}}),
      kPictures);
  add(step_plot(facts, "direction of what a block adds", {"cosine with the carry", false},
                {{"delta", [](const StepSizes& s) { return s.cosine; }}}),
      kPictures);
  add(step_plot(facts, "gradient of the loss by the carry", {"norm", /*log=*/true},
                {{"carry r", [](const StepSizes& s) { return s.gradient; }}}),
      kPictures);
}

report::Bars histogram_bars(const StepSizes& step, const NamedHistogram& named) {
  const Histogram& h = named.histogram;
  report::Bars bars;
  const std::string beyond =
      h.below + h.above == 0 ? "" : fmt::format(", {} beyond the ends", h.below + h.above);
  bars.title = fmt::format("values of {} in layer {}{}", named.name, step.name, beyond);
  bars.form = {NumberForm::Kind::kCount, 0};
  const double width = (h.high - h.low) / static_cast<double>(h.counts.size());
  for (size_t i = 0; i < h.counts.size(); ++i) {
    bars.names.push_back(fmt::format("{:.3g}", h.low + width * static_cast<double>(i)));
    bars.values.push_back(static_cast<double>(h.counts[i]));
  }
  return bars;
}

}  // namespace

report::Report sizes_report(const SizeFacts& facts) {
  report::Report report;
  report.title = "Sizes in " + facts.run;
  report.values = size_numbers(facts);
  report.add(report::Heading{report.title});
  report.add(report::Paragraph{fmt::format(
      "{} over {} of {}; loss {}", counted(static_cast<int64_t>(facts.steps.size()), "step"),
      counted(facts.rows, "row"), facts.source,
      std::isfinite(facts.loss) ? fmt::format("{:.4f}", facts.loss) : "not known")});
  std::string alarms;
  for (const Alarm& alarm : alarms_of(facts))
    alarms += fmt::format("{}ALARM {}: {}", alarms.empty() ? "" : "\n", alarm.kind, alarm.text);
  if (!alarms.empty()) report.add(report::Paragraph{alarms});
  report.add(size_table(facts));
  report.add(carry_table(facts));
  report.add(mover_table(facts));
  report.add(growth_table(facts));
  add_plots(facts, report);
  if (!facts.gradients.empty()) report.add(gradient_table(facts));
  for (const StepSizes& step : facts.steps)
    for (const NamedHistogram& named : step.histograms)
      report.add(histogram_bars(step, named), kPictures);
  return report;
}

}  // namespace fathom
