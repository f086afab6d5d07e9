#include "fathom/study/compare/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/study/compare/student.h"

namespace fathom {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

using Groups = std::vector<ComparedGroup>;
using ValueOf = std::function<double(const Curve&)>;

template <class F>
void for_each_run(const Groups& groups, F f) {
  for (const ComparedGroup& group : groups)
    for (const ComparedRun& run : group.runs) f(run);
}

// By seed; empty where a seed is there twice.
std::map<std::string, double> by_seed(const ComparedGroup& group, const std::vector<double>& of) {
  std::map<std::string, double> values;
  for (size_t i = 0; i < group.runs.size(); ++i)
    if (group.runs[i].seed.empty() || !values.emplace(group.runs[i].seed, of[i]).second) return {};
  return values;
}

Finding finding_of(const GroupResult& result, bool lower_is_better, double alpha) {
  if (result.difference.test == TestKind::kNone) return Finding::kNoTest;
  if (!(result.p < alpha)) return Finding::kNotDistinguishable;
  const bool is_lower = result.difference.difference < 0;
  return is_lower == lower_is_better ? Finding::kBetter : Finding::kWorse;
}

Measure measure(const Groups& groups, const ComparisonOptions& o, Measure::Kind kind, double budget,
                const ValueOf& value_of) {
  Measure m;
  m.kind = kind;
  m.budget = budget;
  for (const ComparedGroup& group : groups) {
    GroupResult result;
    for (const ComparedRun& run : group.runs) {
      const double value = value_of(run.curve);
      result.values.push_back(value);
      if (is_interpolated(run.curve, kind == Measure::Kind::kReached ? value : budget))
        result.interpolated.push_back(run.name);
    }
    result.summary = summary_of(result.values);
    m.groups.push_back(std::move(result));
  }
  std::vector<double> p(groups.size(), kNone);
  for (size_t i = 0; i < groups.size(); ++i) {
    if (i == o.baseline) continue;
    m.groups[i].difference = difference_of(groups[o.baseline], m.groups[o.baseline].values,
                                           groups[i], m.groups[i].values, o.confidence);
    p[i] = m.groups[i].difference.p;
  }
  const std::vector<double> raised = holm(p);
  const bool lower = kind == Measure::Kind::kReached || o.lower_is_better;
  for (size_t i = 0; i < groups.size(); ++i) {
    if (i == o.baseline) continue;
    GroupResult& result = m.groups[i];
    result.p = raised[i];
    result.finding = finding_of(result, lower, 1 - o.confidence);
  }
  return m;
}

// The worst of all runs' values at x.
double worst_at(const Groups& groups, double x, bool lower_is_better) {
  double worst = kNone;
  for_each_run(groups, [&](const ComparedRun& run) {
    const double y = best_until(run.curve, x, lower_is_better);
    if (std::isnan(worst) || (lower_is_better ? y > worst : y < worst)) worst = y;
  });
  return worst;
}

// A level that somebody has asked for.
void require_reached(const Groups& groups, const ComparisonOptions& o, double end) {
  for_each_run(groups, [&](const ComparedRun& run) {
    if (first_at(run.curve, *o.level, end, o.lower_is_better)) return;
    misuse(fmt::format("the run {} does not reach the level {:g}: the best that it has in the "
                       "budget common to all runs is {:.5g}",
                       run.name, *o.level, best_until(run.curve, end, o.lower_is_better)),
           fmt::format("all runs reach {:.5g}; without a level one is chosen",
                       worst_at(groups, end, o.lower_is_better)));
  });
}

void add_early(const Groups& groups, const ComparisonOptions& o, Comparison& c) {
  // What comes before a run's first evaluation but that of the untrained model says nothing of it.
  double early = o.early * c.end, begin = -std::numeric_limits<double>::infinity();
  for_each_run(groups, [&](const ComparedRun& run) {
    early = std::max(early, run.curve.x[1]);
    begin = std::max(begin, run.curve.x.front());
  });
  if (early < c.end)
    c.measures.push_back(measure(groups, o, Measure::Kind::kEarly, early, [&](const Curve& curve) {
      return value_at(curve, early).value_or(kNone);
    }));
  else
    c.notices.emplace_back(
        "the runs were evaluated too seldom to tell how good they are early: evaluate more often");
  const double quarter = std::max(early, begin + (c.end - begin) / 4);
  if (!o.level && !(quarter < c.end)) return;
  const double level = o.level ? *o.level : worst_at(groups, quarter, o.lower_is_better);
  if (o.level) require_reached(groups, o, c.end);
  if (!std::isfinite(level)) return;
  c.measures.push_back(measure(groups, o, Measure::Kind::kReached, level, [&](const Curve& curve) {
    return first_at(curve, level, c.end, o.lower_is_better).value_or(kNone);
  }));
}

Band band_of(const ComparedGroup& group, double end, double confidence) {
  Band band;
  double begin = -std::numeric_limits<double>::infinity();
  std::vector<double> places = {end};
  for (const ComparedRun& run : group.runs) {
    begin = std::max(begin, run.curve.x.front());
    places.insert(places.end(), run.curve.x.begin(), run.curve.x.end());
  }
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  const size_t n = group.runs.size();
  const double reach = n < 2
                           ? 0
                           : student_quantile(0.5 + 0.5 * confidence, static_cast<double>(n - 1)) /
                                 std::sqrt(static_cast<double>(n));
  for (const double x : places) {
    if (x < begin || x > end) continue;
    std::vector<double> values;
    for (const ComparedRun& run : group.runs)
      values.push_back(value_at(run.curve, x).value_or(kNone));
    const Summary s = summary_of(values);
    band.x.push_back(x);
    band.mean.push_back(s.mean);
    if (n < 2) continue;
    band.low.push_back(s.mean - reach * s.sd);
    band.high.push_back(s.mean + reach * s.sd);
  }
  return band;
}

}  // namespace

Difference difference_of(const ComparedGroup& a, const std::vector<double>& of_a,
                         const ComparedGroup& b, const std::vector<double>& of_b,
                         double confidence) {
  const std::map<std::string, double> x = by_seed(a, of_a), y = by_seed(b, of_b);
  const bool same_seeds =
      x.size() > 1 && x.size() == y.size() &&
      std::equal(x.begin(), x.end(), y.begin(),
                 [](const auto& one, const auto& other) { return one.first == other.first; });
  if (!same_seeds || a.data != b.data) return welch(of_a, of_b, confidence);
  std::vector<double> left, right;
  for (const auto& [seed, value] : x) left.push_back(value);
  for (const auto& [seed, value] : y) right.push_back(value);
  return paired(left, right, confidence);
}

Comparison compare(const std::vector<ComparedGroup>& groups, const ComparisonOptions& o) {
  Comparison c;
  c.end = std::numeric_limits<double>::infinity();
  double begin = -c.end;
  for_each_run(groups, [&](const ComparedRun& run) {
    c.end = std::min(c.end, run.curve.x.back());
    begin = std::max(begin, run.curve.x.front());
  });
  if (!(begin < c.end))
    misuse(fmt::format("the runs have no budget in common: one begins at {:g}, where another has "
                       "ended at {:g}",
                       begin, c.end),
           "compare runs that were trained for as long as one another");
  add_early(groups, o, c);
  c.measures.push_back(measure(groups, o, Measure::Kind::kFinal, c.end, [&](const Curve& curve) {
    return mean_until(curve, c.end, static_cast<size_t>(std::max<int64_t>(o.last, 1)))
        .value_or(kNone);
  }));
  for (const ComparedGroup& group : groups) c.bands.push_back(band_of(group, c.end, o.confidence));
  return c;
}

}  // namespace fathom
