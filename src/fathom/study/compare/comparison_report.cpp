#include "fathom/study/compare/comparison_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/base/text.h"
#include "fathom/report/render.h"

namespace fathom {
namespace {

using nlohmann::json;
using report::NumberForm;

constexpr NumberForm kFive = {NumberForm::Kind::kGeneral, 5};
constexpr NumberForm kThree = {NumberForm::Kind::kGeneral, 3};
constexpr NumberForm kTwo = {NumberForm::Kind::kGeneral, 2};

std::string budget_text(double amount, const std::string& budget) {
  if (budget == "seconds") return report::shown(amount, kThree) + " seconds";
  if (budget == "FLOPs" || amount >= 1e7) return human_count(amount) + " " + budget;
  const double whole = std::round(amount);
  return (std::abs(whole - amount) < 1e-9 * amount ? with_commas(static_cast<int64_t>(whole))
                                                   : report::shown(amount, kFive)) +
         " " + budget;
}

bool any_interpolated(const Measure& m) {
  return std::any_of(m.groups.begin(), m.groups.end(),
                     [](const GroupResult& group) { return !group.interpolated.empty(); });
}

std::string title(const ComparisonFacts& facts, const ByBudget& by, const Measure& m) {
  switch (m.kind) {
    case Measure::Kind::kEarly:
      return "Early: " + facts.metric + " at " + budget_text(m.budget, by.budget);
    case Measure::Kind::kReached:
      return fmt::format("Early: {} until {} is {}{}", by.budget, facts.metric,
                         report::shown(m.budget, kFive),
                         any_interpolated(m) ? ", interpolated" : "");
    case Measure::Kind::kFinal:
      break;
  }
  const std::string what =
      facts.options.last > 1 ? fmt::format(", mean of the last {} evaluations", facts.options.last)
                             : "";
  return "Final: " + facts.metric + " at " + budget_text(m.budget, by.budget) + what;
}

report::Table table(const ComparisonFacts& facts, const ByBudget& by, const Measure& m) {
  report::Table table;
  table.title = title(facts, by, m);
  table.columns = {{"group", report::Align::kLeft, {}, {}, report::Narrow::kFold},
                   {"n"},
                   {"mean", report::Align::kRight, kFive},
                   {"spread", report::Align::kRight, kTwo},
                   {"difference", report::Align::kRight, kThree},
                   {fmt::format("{:g} % interval", 100 * facts.options.confidence)},
                   {"test", report::Align::kRight},
                   {"p", report::Align::kRight, kTwo}};
  for (size_t i = 0; i < m.groups.size(); ++i) {
    const GroupResult& result = m.groups[i];
    std::vector<report::Cell> row = {facts.groups[i].name, result.summary.n, result.summary.mean};
    row.emplace_back();
    if (result.summary.n > 1) row.back() = result.summary.sd;
    if (i == facts.options.baseline) {
      row.emplace_back("baseline");
    } else {
      const Difference& d = result.difference;
      row.emplace_back(d.difference);
      if (d.test == TestKind::kNone)
        row.emplace_back();
      else
        row.emplace_back(report::shown(d.low, kThree) + " to " + report::shown(d.high, kThree));
      row.emplace_back(test_name(d.test));
      row.emplace_back(result.p);
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

report::Plot plot(const ComparisonFacts& facts, const ByBudget& by) {
  report::Plot plot;
  plot.title = fmt::format("{} by {}", facts.metric, by.budget);
  plot.x = {by.budget};
  plot.y = {facts.metric};
  for (size_t i = 0; i < facts.groups.size(); ++i) {
    const Band& band = by.comparison.bands[i];
    plot.lines.push_back({facts.groups[i].name, band.x, band.mean, band.low, band.high});
  }
  return plot;
}

json number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

json numbers(const std::vector<double>& values) {
  json out = json::array();
  for (const double value : values) out.push_back(number(value));
  return out;
}

const char* kind_name(Measure::Kind kind) {
  return kind == Measure::Kind::kEarly     ? "early"
         : kind == Measure::Kind::kReached ? "reached"
                                           : "final";
}

json result_json(const ComparisonFacts& facts, const GroupResult& r, const std::string& name) {
  json out = {{"group", report::json_word(name)}, {"n", r.summary.n},
              {"mean", number(r.summary.mean)},   {"spread", number(r.summary.sd)},
              {"values", numbers(r.values)},      {"verdict", finding_name(r.finding)}};
  for (const std::string& run : r.interpolated)
    out["interpolated"].push_back(report::json_word(run));
  if (r.finding == Finding::kBaseline) return out;
  const Difference& d = r.difference;
  out["difference"] = number(d.difference);
  out["test"] = d.test == TestKind::kNone ? "none" : test_name(d.test);
  if (d.test == TestKind::kNone) {
    out["why"] = d.why_none;
    return out;
  }
  out["low"] = number(d.low);
  out["high"] = number(d.high);
  out["t"] = number(d.t);
  out["degrees_of_freedom"] = number(d.df);
  out["p"] = number(d.p);
  out["p_holm"] = number(r.p);
  out["detectable"] = number(detectable(d, facts.options.confidence));
  return out;
}

json to_json(const ComparisonFacts& facts) {
  json out = {{"metric", report::json_word(facts.metric)},
              {"confidence", facts.options.confidence},
              {"lower_is_better", facts.options.lower_is_better},
              {"baseline", report::json_word(facts.groups[facts.options.baseline].name)},
              {"groups", json::array()},
              {"by", json::object()},
              {"notices", json::array()}};
  for (const ComparedGroup& group : facts.groups) {
    json runs = json::array();
    for (const ComparedRun& run : group.runs)
      runs.push_back({{"name", report::json_word(run.name)}, {"seed", run.seed}});
    out["groups"].push_back({{"name", report::json_word(group.name)}, {"runs", std::move(runs)}});
  }
  for (const ByBudget& by : facts.by) {
    json measures = json::array(), curves = json::array();
    for (const Measure& m : by.comparison.measures) {
      json groups = json::array();
      for (size_t i = 0; i < m.groups.size(); ++i)
        groups.push_back(result_json(facts, m.groups[i], facts.groups[i].name));
      measures.push_back({{"kind", kind_name(m.kind)},
                          {m.kind == Measure::Kind::kReached ? "level" : "at", number(m.budget)},
                          {"groups", std::move(groups)}});
    }
    for (size_t i = 0; i < facts.groups.size(); ++i) {
      const Band& band = by.comparison.bands[i];
      curves.push_back({{"group", report::json_word(facts.groups[i].name)},
                        {"x", numbers(band.x)},
                        {"mean", numbers(band.mean)},
                        {"low", numbers(band.low)},
                        {"high", numbers(band.high)}});
    }
    out["by"][by.budget] = {{"end", number(by.comparison.end)},
                            {"measures", std::move(measures)},
                            {"curves", std::move(curves)}};
  }
  for (const std::string& notice : facts.notices)
    out["notices"].push_back(report::json_word(notice));
  return out;
}

// Which runs have a value at a budget at which they were not evaluated; nothing: none has. That the
// budget of a level is interpolated says its table's title.
std::string interpolated(const ComparisonFacts& facts) {
  std::vector<std::string> by_budget;
  for (const ByBudget& by : facts.by) {
    std::vector<std::string> runs;
    for (const Measure& m : by.comparison.measures) {
      if (m.kind == Measure::Kind::kReached) continue;
      for (const GroupResult& group : m.groups)
        for (const std::string& run : group.interpolated)
          if (std::find(runs.begin(), runs.end(), run) == runs.end()) runs.push_back(run);
    }
    if (runs.empty()) continue;
    const size_t more = runs.size() - 1;
    by_budget.push_back(fmt::format(
        "{} by {}", runs[0] + (more > 0 ? fmt::format(" and {} more", more) : ""), by.budget));
  }
  return by_budget.empty() ? "" : "interpolated between evaluations: " + join(by_budget, ", ");
}

// What the tables mean.
std::string legend(const ComparisonFacts& facts) {
  const bool several = facts.groups.size() > 2;
  return fmt::format(
      "Differences are from {}; {} is better. A test errs in {:.3g} of 100 comparisons of what is "
      "alike{}.",
      facts.groups[facts.options.baseline].name, facts.options.lower_is_better ? "less" : "more",
      100 * (1 - facts.options.confidence),
      several ? ", all groups together (p after Holm; intervals are each for itself)" : "");
}

// What is said of one group.
std::string alone(const ComparedGroup& group) {
  if (group.runs.size() == 1)
    return fmt::format("{} is one run: there is nothing to compare it with.", group.name);
  return fmt::format(
      "The {} runs of {} differ in their seed only: they are not distinguishable, and what is "
      "between them is chance. The spread says how much.",
      group.runs.size(), group.name);
}

}  // namespace

const char* finding_name(Finding finding) {
  switch (finding) {
    case Finding::kBaseline:
      return "baseline";
    case Finding::kBetter:
      return "better";
    case Finding::kWorse:
      return "worse";
    case Finding::kNotDistinguishable:
      return "not distinguishable at this n";
    case Finding::kNoTest:
      break;
  }
  return "no test";
}

std::string finding_sentence(const ComparisonFacts& facts, const Measure& m, size_t group) {
  const GroupResult& result = m.groups[group];
  const size_t baseline = facts.options.baseline;
  const std::string &name = facts.groups[group].name, &other = facts.groups[baseline].name;
  const bool is_speed = m.kind == Measure::Kind::kReached;
  switch (result.finding) {
    case Finding::kBetter:
      return fmt::format("{} is {} than {}.", name, is_speed ? "faster" : "better", other);
    case Finding::kWorse:
      return fmt::format("{} is {} than {}.", name, is_speed ? "slower" : "worse", other);
    case Finding::kNotDistinguishable:
      return fmt::format(
          "{}: not distinguishable from {} at this n ({} and {}): a difference of {} would show 8 "
          "times in 10.",
          name, other, result.summary.n, m.groups[baseline].summary.n,
          report::shown(detectable(result.difference, facts.options.confidence), kTwo));
    case Finding::kNoTest:
      return fmt::format("{}: {}.", name, result.difference.why_none);
    case Finding::kBaseline:
      break;
  }
  return "";
}

report::Report comparison_report(ComparisonFacts facts) {
  if (std::string notice = interpolated(facts); !notice.empty())
    facts.notices.push_back(std::move(notice));
  report::Report out;
  out.title = "Comparison by " + facts.metric;
  out.values = to_json(facts);
  out.add(report::Paragraph{facts.groups.size() > 1 ? legend(facts) : alone(facts.groups[0])});
  for (size_t b = 0; b < facts.by.size(); ++b) {
    const ByBudget& by = facts.by[b];
    out.add(report::Heading{"At equal " + by.budget, 2});
    for (const Measure& m : by.comparison.measures) {
      out.add(table(facts, by, m));
      std::string sentences;
      for (size_t i = 0; i < facts.groups.size(); ++i)
        if (const std::string s = finding_sentence(facts, m, i); !s.empty())
          sentences += (sentences.empty() ? "" : "\n") + s;
      if (!sentences.empty()) out.add(report::Paragraph{sentences});
    }
    out.add(plot(facts, by),
            b == 0 ? report::kEverywhere : report::kEverywhere & ~report::kInTerminal);
  }
  if (!facts.notices.empty())
    out.add(report::Paragraph{"note: " + join(facts.notices, "\nnote: ")});
  return out;
}

}  // namespace fathom
