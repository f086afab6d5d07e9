#include "fathom/study/many_runs/compare_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/study/compare/comparison_report.h"
#include "fathom/study/many_runs/gather.h"

namespace fathom {
namespace {

using Runs = std::vector<GatheredRun>;

struct BudgetKind {
  CompareBy by;
  const char* name;
};
constexpr BudgetKind kBudgets[] = {{CompareBy::kStep, "steps"},
                                   {CompareBy::kTokens, "tokens"},
                                   {CompareBy::kFlops, "FLOPs"},
                                   {CompareBy::kSeconds, "seconds"}};

const std::vector<double>& counted(const GatheredRun& run, CompareBy by) {
  return by == CompareBy::kTokens ? run.tokens : by == CompareBy::kFlops ? run.flops : run.seconds;
}

std::vector<std::string> lacking(const Runs& runs, CompareBy by) {
  std::vector<std::string> names;
  if (by == CompareBy::kStep) return names;
  for (const GatheredRun& run : runs)
    if (counted(run, by).empty()) names.push_back(run.facts.name);
  return names;
}

// Every step of every run uses up the same: equal steps are equal budgets.
bool goes_with_steps(const Runs& runs, CompareBy by) {
  double rate = 0;
  for (const GatheredRun& run : runs)
    for (size_t i = 0; i < run.steps.size(); ++i) {
      const double step = run.steps[i], used = counted(run, by)[i];
      if (step == 0 && used == 0) continue;
      if (step == 0) return false;
      if (rate == 0) rate = used / step;
      if (!(std::abs(used - rate * step) <= 1e-9 * used)) return false;
    }
  return true;
}

std::vector<ComparedGroup> compared(const Runs& runs, const std::vector<RunGroup>& groups,
                                    CompareBy by) {
  std::vector<ComparedGroup> out;
  for (const RunGroup& group : groups) {
    ComparedGroup compared{group.name, group.data, {}};
    for (const size_t i : group.runs) {
      const GatheredRun& run = runs[i];
      const auto seed = run.facts.settings.find("seed");
      ComparedRun one{run.facts.name, seed == run.facts.settings.end() ? "" : seed->second, {}};
      one.curve = curve_of(by == CompareBy::kStep ? run.steps : counted(run, by), run.values);
      if (one.curve.x.size() < 2)
        fail(fmt::format("the run {} has fewer than two values that go forward", one.name),
             "it cannot be compared by this budget: take --by=step");
      compared.runs.push_back(std::move(one));
    }
    out.push_back(std::move(compared));
  }
  return out;
}

std::vector<RunGroup> groups_of_words(const Runs& runs) {
  std::vector<RunGroup> groups;
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const RunGroup& group) {
      return group.name == runs[i].word;
    });
    const std::string data = data_of(runs[i].facts);
    if (same == groups.end()) {
      groups.push_back({runs[i].word, data, {i}});
      continue;
    }
    same->runs.push_back(i);
    if (same->data != data) same->data = "of several kinds: " + same->name;
  }
  return groups;
}

// Single runs whose settings are too much for a table's first column have their own names there;
// what differs between them is told once.
void name_single_runs(const Runs& runs, std::vector<RunGroup>& groups,
                      std::vector<std::string>& notices) {
  constexpr size_t kLongest = 24;
  std::set<std::string> names;
  bool is_long = false;
  for (const RunGroup& group : groups) {
    if (group.runs.size() > 1) return;
    names.insert(runs[group.runs[0]].facts.name);
    is_long = is_long || group.name.size() > kLongest;
  }
  if (!is_long || groups.size() < 2 || names.size() < groups.size()) return;
  for (RunGroup& group : groups) {
    const std::string& name = runs[group.runs[0]].facts.name;
    notices.push_back(fmt::format("{} has {}", name, group.name));
    group.name = name;
  }
}

size_t baseline_of(const std::string& asked, const Runs& runs,
                   const std::vector<RunGroup>& groups) {
  if (asked.empty()) return 0;
  std::vector<std::string> names;
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].name == asked) return i;
    names.push_back(groups[i].name);
    for (const size_t run : groups[i].runs)
      if (runs[run].facts.name == asked) return i;
  }
  misuse(fmt::format("baseline = {} is neither a group nor a run of one", in_quotes(asked)),
         "groups: " + join(names, "; "));
}

// Which budgets, and why not the others.
std::vector<BudgetKind> budgets(const CompareChoice& request, const Runs& runs,
                                std::vector<std::string>& notices) {
  std::vector<BudgetKind> out;
  std::vector<std::string> same;
  for (const BudgetKind& budget : kBudgets) {
    const bool all = request.by == CompareBy::kAll;
    if (!all && request.by != budget.by) continue;
    const std::vector<std::string> without = lacking(runs, budget.by);
    if (!without.empty()) {
      const std::string what = fmt::format(
          "{}{} stored no {}", without[0],
          without.size() > 1 ? fmt::format(" and {} more", without.size() - 1) : "", budget.name);
      if (!all) misuse(what + ", so runs cannot be compared by it", "take --by=step");
      notices.push_back(what + ": not compared by it");
    } else if (all && budget.by != CompareBy::kStep && goes_with_steps(runs, budget.by)) {
      same.emplace_back(budget.name);
    } else {
      out.push_back(budget);
    }
  }
  if (!same.empty())
    notices.push_back(fmt::format("at equal steps the runs used equal {}", join(same, " and ")));
  return out;
}

}  // namespace

bool CompareChoice::lower_is_better() const {
  if (better != Better::kAuto) return better == Better::kLower;
  for (const char* word : {"accuracy", "correct", "per_s"})
    if (metric.find(word) != std::string::npos) return false;
  return true;
}

report::Report compare_runs(const CompareChoice& choice) {
  ComparisonFacts facts;
  facts.metric = choice.metric;
  const Runs runs = gather(choice.runs, choice.metric, facts.notices);
  if (runs.empty())
    fail("none of the runs has numbers to compare: " + join(facts.notices, "; "),
         "numbers are stored with every evaluation; a run needs two");
  std::vector<RunFacts> of_runs;
  for (const GatheredRun& run : runs) of_runs.push_back(run.facts);
  std::vector<RunGroup> groups =
      choice.group == GroupBy::kWord ? groups_of_words(runs) : group_runs(of_runs);
  ComparisonOptions& o = facts.options;
  o.baseline = baseline_of(choice.baseline, runs, groups);  // by the names that settings give
  if (choice.group == GroupBy::kSettings) name_single_runs(runs, groups, facts.notices);
  o.confidence = choice.confidence;
  o.lower_is_better = choice.lower_is_better();
  o.early = choice.early;
  o.level = choice.level;
  o.last = choice.last;
  for (const BudgetKind& budget : budgets(choice, runs, facts.notices)) {
    const std::vector<ComparedGroup> by = compared(runs, groups, budget.by);
    if (facts.groups.empty()) facts.groups = by;
    facts.by.push_back({budget.name, compare(by, o)});
    for (const std::string& notice : facts.by.back().comparison.notices)
      facts.notices.push_back(fmt::format("by {}: {}", budget.name, notice));
  }
  return comparison_report(std::move(facts));
}

}  // namespace fathom
