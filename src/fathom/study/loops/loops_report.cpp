// Loops as people read them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "fathom/study/loops/dynamics.h"
#include "fathom/study/loops/loop_facts.h"
#include "fathom/study/loops/loop_pictures.h"

namespace fathom {
namespace {

using report::NumberForm;

constexpr NumberForm kThree = {NumberForm::Kind::kGeneral, 3};
constexpr NumberForm kFour = {NumberForm::Kind::kGeneral, 4};
constexpr NumberForm kFixed4 = {NumberForm::Kind::kFixed, 4};
constexpr NumberForm kFixed2 = {NumberForm::Kind::kFixed, 2};
constexpr NumberForm kPercent = {NumberForm::Kind::kPercent, 1};
constexpr unsigned kPictures = report::kInHtml | report::kInSvg;

report::Column column(const char* name, const NumberForm& form = kThree) {
  return {name, report::Align::kRight, form};
}

// Of all texts, one of the lists of one group's convergence.
MeanCurve mean_of(const LoopFacts& facts, size_t group, std::vector<double> Convergence::*list) {
  std::vector<std::vector<double>> curves;
  for (const TextLoops& text : facts.texts) curves.push_back(text.groups[group].convergence.*list);
  return mean_curve(curves);
}

report::Table convergence_table(const LoopFacts& facts, size_t g) {
  report::Table table;
  table.title = "Convergence of the loop of " + facts.groups[g];
  table.columns = {column("iteration"), column("change"), column("relative"),
                   column("cosine"),    column("norm"),   column("KL drift")};
  std::vector<MeanCurve> curves;
  for (const auto list : {&Convergence::change, &Convergence::relative, &Convergence::angle,
                          &Convergence::norm, &Convergence::drift})
    curves.push_back(mean_of(facts, g, list));
  const auto K = static_cast<int64_t>(curves.front().mean.size());
  for (const int64_t k : shown_iterations(K)) {
    std::vector<report::Cell> row = {k};
    for (const MeanCurve& curve : curves) row.emplace_back(curve.mean[static_cast<size_t>(k) - 1]);
    table.rows.push_back(std::move(row));
  }
  return table;
}

report::Plot convergence_plot(const LoopFacts& facts, const char* title, const char* unit,
                              std::vector<double> Convergence::*list) {
  report::Plot plot;
  plot.title = title;
  plot.x.label = "iteration";
  plot.y = {unit, /*log=*/true};
  for (size_t g = 0; g < facts.groups.size(); ++g) {
    const MeanCurve curve = mean_of(facts, g, list);
    report::Line line{facts.groups[g], {}, curve.mean};
    for (size_t k = 0; k < curve.mean.size(); ++k) {
      line.x.push_back(static_cast<double>(k + 1));
      if (facts.texts.size() > 1) {
        line.low.push_back(curve.mean[k] - curve.sd[k]);
        line.high.push_back(curve.mean[k] + curve.sd[k]);
      }
    }
    plot.lines.push_back(std::move(line));
  }
  return plot;
}

// Of loops their first and their last iteration: what is between stands in their own tables.
report::Table walk_table(const LoopFacts& facts) {
  report::Table table;
  table.title = "The whole walk, of loops the first and the last iteration";
  table.columns = {column("step"),     column("layer"),  column("iteration"), column("change"),
                   column("relative"), column("cosine"), column("norm"),      column("KL drift")};
  std::vector<MeanCurve> curves;
  for (const auto list : {&Convergence::change, &Convergence::relative, &Convergence::angle,
                          &Convergence::norm, &Convergence::drift}) {
    std::vector<std::vector<double>> of_texts;
    for (const TextLoops& text : facts.texts) of_texts.push_back(text.global.*list);
    curves.push_back(mean_curve(of_texts));
  }
  const std::vector<WalkStep>& walk = facts.texts.front().walk;
  for (size_t i = 0; i < std::min(walk.size(), curves.front().mean.size()); ++i) {
    const std::vector<int64_t>& at = walk[i].iterations;
    if (std::any_of(at.begin(), at.end(), [&](int64_t k) { return k > 1 && k < facts.count; }))
      continue;
    std::vector<report::Cell> row = {i + 1, walk[i].layer,
                                     at.empty() ? "-" : fmt::format("{}", fmt::join(at, "."))};
    for (const MeanCurve& curve : curves) row.emplace_back(curve.mean[i]);
    table.rows.push_back(std::move(row));
  }
  return table;
}

report::Plot global_plot(const LoopFacts& facts) {
  report::Plot plot;
  plot.title = "relative change over the whole walk";
  plot.x.label = "step of the walk";
  plot.y = {"|x' - x| / |x'|", /*log=*/true};
  std::vector<std::vector<double>> curves;
  for (const TextLoops& text : facts.texts) curves.push_back(text.global.relative);
  report::Line line{"all layers", {}, mean_curve(curves).mean};
  for (size_t k = 0; k < line.y.size(); ++k) line.x.push_back(static_cast<double>(k + 1));
  plot.lines = {line};
  return plot;
}

void add_trajectories(const LoopFacts& facts, report::Report& report) {
  if (facts.projections.empty()) return;
  const Projection& p = facts.projections.front();
  report::Table table;
  table.title = "Principal axes of all states of the first text";
  table.columns = {{"axis"}, {"explained", report::Align::kRight, kPercent}};
  for (size_t a = 0; a < p.pca.ratios.size(); ++a)
    table.rows.push_back({static_cast<int64_t>(a + 1), p.pca.ratios[a]});
  report.add(std::move(table));
  for (report::Plot& plot : trajectory_plots(facts)) report.add(std::move(plot), kPictures);
}

std::string mean_and_sd(const std::vector<double>& values) {
  std::vector<std::vector<double>> curves;
  for (const double v : values) curves.push_back({v});
  const MeanCurve curve = mean_curve(curves);
  if (curve.mean.empty() || !std::isfinite(curve.mean[0])) return "-";
  return fmt::format("{:.3f} +- {:.3f}", curve.mean[0], curve.sd[0]);
}

report::Table shape_table(const LoopFacts& facts) {
  report::Table table;
  table.title = "Trajectories of tokens, mean and standard deviation";
  table.columns = {{"loop of", report::Align::kLeft, {}, {}, report::Narrow::kFold},
                   column("box dimension"),
                   column("of the longest run"),
                   column("drift to loop")};
  if (facts.boxes_on_axes) table.columns[0].name = "loop of, points on";
  for (size_t g = 0; g < facts.shapes.size(); ++g) {
    const LoopShapes& shapes = facts.shapes[g];
    table.rows.push_back({facts.groups[g], mean_and_sd(shapes.boxes), mean_and_sd(shapes.run_boxes),
                          mean_and_sd(shapes.drift)});
    if (!facts.boxes_on_axes) continue;
    table.rows.back()[0].text += ", all channels";
    table.rows.push_back({fmt::format("{}, {} axes", facts.groups[g], facts.components),
                          mean_and_sd(shapes.axis_boxes), mean_and_sd(shapes.axis_run_boxes)});
  }
  return table;
}

// By group and iteration, over tokens.
struct StretchAt {
  MeanCurve radius, norm;
};
std::map<std::pair<size_t, int64_t>, StretchAt> stretches_of(const LoopFacts& facts) {
  std::map<std::pair<size_t, int64_t>, std::vector<const LoopJacobian*>> places;
  for (const LoopJacobian& j : facts.jacobians) places[{j.group, j.iteration}].push_back(&j);
  std::map<std::pair<size_t, int64_t>, StretchAt> out;
  for (const auto& [place, of] : places) {
    std::vector<std::vector<double>> radii, norms;
    for (const LoopJacobian* j : of) {
      radii.push_back({j->spectral_radius});
      norms.push_back({j->operator_norm});
    }
    out[place] = {mean_curve(radii), mean_curve(norms)};
  }
  return out;
}

std::set<size_t> jacobian_tokens(const LoopFacts& facts) {
  std::set<size_t> tokens;
  for (const LoopJacobian& j : facts.jacobians) tokens.insert(j.token);
  return tokens;
}

report::Table jacobian_table(const LoopFacts& facts) {
  report::Table table;
  table.title = facts.map == "block" ? "Jacobian of the layers alone, mean over tokens"
                                     : "Jacobian of an iteration, mean over tokens";
  const bool spread = jacobian_tokens(facts).size() > 1;
  table.columns = {{"loop of", report::Align::kLeft, {}, {}, report::Narrow::kFold},
                   column("from state")};
  for (const char* name : {"spectral radius", "operator norm"}) {
    table.columns.push_back(column(name, kFour));
    if (spread) table.columns.push_back(column("sd"));
  }
  for (const auto& [place, at] : stretches_of(facts)) {
    table.rows.push_back({facts.groups[place.first], place.second});
    for (const MeanCurve* curve : {&at.radius, &at.norm}) {
      table.rows.back().emplace_back(curve->mean[0]);
      if (spread) table.rows.back().emplace_back(curve->sd[0]);
    }
  }
  return table;
}

// What was sampled, for it is not all there is.
report::Paragraph jacobian_words(const LoopFacts& facts) {
  const std::set<size_t> tokens = jacobian_tokens(facts);
  std::string text = fmt::format("Of the first text's token{} {} (its first is 0)",
                                 tokens.size() == 1 ? "" : "s", fmt::join(tokens, ", "));
  const int64_t steps = facts.jacobian_steps;
  const bool estimated =
      !facts.texts.empty() &&
      std::any_of(facts.texts.front().groups.begin(), facts.texts.front().groups.end(),
                  [&](const GroupLoops& group) {
                    return static_cast<int64_t>(group.states.back().columns) > steps;
                  });
  if (steps > 0 && estimated)
    text += fmt::format("; estimates by {} applications of the map and of its transpose", steps);
  return {text + "."};
}

report::Plot jacobian_plot(const LoopFacts& facts) {
  report::Plot plot;
  plot.title = "how an iteration stretches, by the state that it begins with";
  plot.x.label = "from state";
  std::map<size_t, std::pair<report::Line, report::Line>> lines;
  const auto add_point = [](report::Line& line, int64_t k, const MeanCurve& curve) {
    line.x.push_back(static_cast<double>(k));
    line.y.push_back(curve.mean[0]);
    line.low.push_back(curve.mean[0] - curve.sd[0]);
    line.high.push_back(curve.mean[0] + curve.sd[0]);
  };
  for (const auto& [place, at] : stretches_of(facts)) {
    add_point(lines[place.first].first, place.second, at.radius);
    add_point(lines[place.first].second, place.second, at.norm);
  }
  for (auto& [g, of] : lines) {
    of.first.name = "spectral radius, " + facts.groups[g];
    of.second.name = "operator norm, " + facts.groups[g];
    plot.lines.push_back(std::move(of.first));
    plot.lines.push_back(std::move(of.second));
  }
  return plot;
}

report::Table spread_table(const LoopFacts& facts) {
  report::Table table;
  table.title = "Path independence: spread over draws of the first states";
  table.columns = {column("loops"), column("states"), column("ln p"), column("KL to the mean")};
  for (const LoopSpread& s : facts.spreads)
    table.rows.push_back({s.count, s.state, s.scores, s.kl});
  return table;
}

report::Table exit_table(const LoopFacts& facts) {
  report::Table table;
  table.title = "Token by token with a cache";
  const bool seeds = !facts.exits.empty() && facts.exits.front().loss.size() > 1;
  table.columns = {{"", report::Align::kLeft},
                   {"loss", report::Align::kRight, kFixed4},
                   {"perplexity"},
                   {"iterations", report::Align::kRight, kFixed2},
                   {"blocks", report::Align::kRight, kPercent},
                   {"ms/token", report::Align::kRight, kThree}};
  if (seeds) table.columns.push_back(column("loss sd"));
  for (const LoopExit& e : facts.exits) {
    std::vector<std::vector<double>> losses;
    for (const double loss : e.loss) losses.push_back({loss});
    const MeanCurve loss = mean_curve(losses);
    table.rows.push_back(
        {e.name, loss.mean[0], std::exp(loss.mean[0]), e.iterations, e.blocks, e.milliseconds});
    if (seeds) table.rows.back().emplace_back(loss.sd[0]);
  }
  return table;
}

report::Plot exit_plot(const LoopFacts& facts) {
  report::Plot plot;
  plot.title = "loss over iterations";
  plot.x.label = "mean iterations of a token";
  plot.y.label = "nats per token";
  report::Line fixed{"fixed counts", {}, {}}, ruled{"by the rule", {}, {}};
  for (const LoopExit& e : facts.exits) {
    report::Line& line = e.count ? fixed : ruled;
    std::vector<std::vector<double>> losses;
    for (const double loss : e.loss) losses.push_back({loss});
    line.x.push_back(e.iterations);
    line.y.push_back(mean_curve(losses).mean[0]);
  }
  for (report::Line* line : {&fixed, &ruled})
    if (!line->x.empty()) plot.lines.push_back(std::move(*line));
  return plot;
}

report::Table weight_table(const LoopFacts& facts) {
  report::Table table;
  table.title = "Largest singular values of the matrices";
  table.columns = {{"matrix", report::Align::kLeft, {}, {}, report::Narrow::kFold},
                   {"shape", report::Align::kRight},
                   column("largest", kFour)};
  for (const WeightNorm& w : facts.weights)
    table.rows.push_back({w.name, fmt::format("{} x {}", w.rows, w.columns), w.largest});
  return table;
}

}  // namespace

report::Report loops_report(const LoopFacts& facts) {
  report::Report report;
  report.title = "Loops of " + facts.run;
  report.values = loop_numbers(facts);
  std::string trained;
  if (facts.trained) trained = fmt::format(", trained with up to {}", *facts.trained);
  report.add(report::Paragraph{fmt::format("{}: {} loop group{} of {} iterations{}; {}", facts.run,
                                           facts.groups.size(), facts.groups.size() == 1 ? "" : "s",
                                           facts.count, trained, facts.source)});
  if (!facts.texts.empty()) {
    for (size_t g = 0; g < facts.groups.size(); ++g) report.add(convergence_table(facts, g));
    report.add(convergence_plot(facts, "relative change by iteration", "|x' - x| / |x'|",
                                &Convergence::relative));
    report.add(
        convergence_plot(facts, "drift of the answer by iteration", "nats", &Convergence::drift),
        kPictures);
    for (report::Plot& plot : token_plots(facts)) report.add(std::move(plot), kPictures);
    if (!facts.texts.front().walk.empty()) report.add(walk_table(facts));
    report.add(global_plot(facts), kPictures);
    add_trajectories(facts, report);
    if (!facts.shapes.empty()) report.add(shape_table(facts));
  }
  if (!facts.jacobians.empty()) {
    report.add(jacobian_table(facts));
    report.add(jacobian_words(facts));
    report.add(jacobian_plot(facts), kPictures);
  }
  if (!facts.spreads.empty()) {
    report.add(spread_table(facts));
    if (!facts.noisy)
      report.add(report::Paragraph{
          "The loops begin without noise, so all draws are the same; --noise gives them some."});
  }
  if (!facts.exits.empty()) {
    report.add(exit_table(facts));
    report.add(exit_plot(facts), kPictures);
  }
  if (!facts.weights.empty()) report.add(weight_table(facts));
  return report;
}

}  // namespace fathom
