#include "fathom/train/recipe/plan_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "fathom/base/text.h"
#include "fathom/base/visible.h"
#include "fathom/io/json_text.h"
#include "fathom/report/render.h"
#include "fathom/track/guarded.h"
#include "fathom/track/terminal.h"
#include "fathom/train/recipe/built_in_plans.h"
#include "fathom/train/recipe/fits_memory.h"
#include "fathom/train/recipe/parameter_groups.h"
#include "fathom/train/recipe/training_plan.h"

namespace fathom {
namespace {

using nlohmann::json;

json or_null(const std::optional<int64_t>& number) {
  return number ? json(*number) : json();
}
json or_null(const std::optional<double>& number) {
  return number ? json(*number) : json();
}

std::string or_open(const std::optional<int64_t>& number, bool is_estimate = false) {
  return number ? (is_estimate ? "~" : "") + with_commas(*number) : "?";
}

// The stage's data as it was asked for, for where it is not there.
std::string shown_data(const Stage& stage, const StageRun& run) {
  if (!run.corpora.empty()) {
    std::string names;
    for (const Corpus& corpus : run.corpora) names += (names.empty() ? "" : ", ") + corpus.name();
    return visible(names);
  }
  const std::string asked = override_of(stage, "dataset");
  return visible(asked.empty() ? run.config.data.dataset : asked) + " (missing)";
}

std::string shown_rates(const Forecast& f) {
  if (!f.last_rate) return fmt::format("{:.3g} to ?", f.first_rate);
  if (*f.last_rate == f.first_rate) return fmt::format("{:.3g}", f.first_rate);
  return fmt::format("{:.3g} to {:.3g}", f.first_rate, *f.last_rate);
}

// Sums over the stages; unset where one of them is not known.
struct Totals {
  std::optional<int64_t> steps = 0, tokens = 0;
  bool is_estimate = false;
  void add(const Forecast& f) {
    is_estimate = is_estimate || f.is_estimate;
    steps = sum(steps, f.steps);
    tokens = sum(tokens, f.tokens);
  }
  static std::optional<int64_t> sum(std::optional<int64_t> a, std::optional<int64_t> b) {
    int64_t out = 0;
    if (!a || !b || __builtin_add_overflow(*a, *b, &out)) return std::nullopt;
    return out;
  }
};

json stage_json(const Stage& stage, const StageRun& run, const Forecast& f) {
  json data = json::array();
  for (const Corpus& corpus : run.corpora)
    data.push_back(
        {{"name", corpus.name()},
         {"tokens", corpus.is_generated() ? json(nullptr) : json(corpus.tokens("train"))},
         {"vocab_size", corpus.vocab_size()}});
  json overrides = json::object();
  for (const auto& [key, text] : stage.overrides) overrides[key] = text;
  return {{"name", stage.name},
          {"data", data},
          {"budget", to_text(stage.budget)},
          {"epoch_samples", or_null(f.epoch)},
          {"steps", or_null(f.steps)},
          {"tokens", or_null(f.tokens)},
          {"is_estimate", f.is_estimate},
          {"evaluations", or_null(f.evaluations)},
          {"learning_rate", {f.first_rate, or_null(f.last_rate)}},
          {"overrides", overrides}};
}

// Where a stage begins that is not the first, the one before has just been evaluated.
Forecast forecast_of(const PlanReport& report, size_t stage) {
  Forecast f = forecast(report.stages[stage]);
  if (stage > 0 && f.evaluations) --*f.evaluations;
  return f;
}

// "wiki_en, wiki_es are missing"
std::string shown_missing(const std::vector<std::string>& missing) {
  if (missing.empty()) return "all data is prepared";
  return "not prepared: " + join(missing, ", ");
}

}  // namespace

void check_fit(PlanReport& report) {
  int64_t vocab = 0;
  for (const StageRun& stage : report.stages)
    for (const Corpus& corpus : stage.corpora) vocab = std::max(vocab, corpus.vocab_size());
  for (const StageRun& stage : report.stages) {
    if (stage.corpora.empty()) continue;  // that was told
    try {
      const int64_t settled = settled_vocab_size(stage.config, vocab);
      require_memory(stage.config, settled, /*training=*/true);
      parameter_settings(stage.config.optimizer, parameter_table(stage.config.model, settled));
    } catch (const Error& e) {
      report.mistakes.emplace_back(e.kind(), fmt::format("the stage {}: {}", stage.name, e.what()),
                                   e.hint());
    }
  }
}

void list_plans(bool as_json) {
  nlohmann::json out = nlohmann::json::array();
  const Style style(stdout);
  // `mark`: behind the name.
  const auto show = [&](const TrainingPlan& plan, const std::string& summary, const char* mark,
                        nlohmann::json more) {
    const std::vector<std::string> missing = missing_data(plan);
    more.update({{"name", plan.name},
                 {"summary", summary},
                 {"stages", to_text(plan)},
                 {"missing", missing}});
    out.push_back(std::move(more));
    if (as_json) return;
    const int width = terminal_width(stdout);
    const std::string name = plan.name + mark;
    fmt::print("{}{}: {}\n", style.bold(plan.name), mark,
               hanging(summary, text_width(name) + 2, width));
    for (const std::string& line : to_text(plan)) fmt::print("    {}\n", hanging(line, 6, width));
    fmt::print("    {}\n", hanging(shown_missing(missing), 6, width));
  };
  for (const BuiltInPlan& built_in : built_in_plans())
    show(built_in.plan, built_in.summary, built_in.is_ours ? " *" : "",
         {{"chosen_here", built_in.is_ours}, {"experiment", nullptr}});
  for (const ShippedPlan& shipped : registry().plans())
    show(read_plan(shipped).plan, "shipped with " + shipped.experiment, "",
         {{"chosen_here", true}, {"experiment", shipped.experiment}});
  if (as_json) {
    fmt::print("{}\n", json_text(out, 2));
    return;
  }
  fmt::print(
      "\n* only the name is LMPlay's, what is in it was chosen here. `fathom plan NAME`\n"
      "says how to prepare what is missing, `fathom train EXPERIMENT\n"
      "--training_plan=NAME` trains.\n");
}

namespace {

std::vector<report::Cell> row_of(const PlanReport& plan, size_t i, const Forecast& f) {
  const Stage& stage = plan.plan.stages[i];
  const bool of_steps = stage.budget.unit == Budget::Unit::kSteps;
  return {stage.name,
          shown_data(stage, plan.stages[i]),
          or_open(f.epoch),
          to_text(stage.budget),
          or_open(f.steps, f.is_estimate && !of_steps),
          or_open(f.tokens, f.is_estimate),
          shown_rates(f),
          or_open(f.evaluations, f.is_estimate)};
}

}  // namespace

report::Table stage_table(const PlanReport& plan) {
  using report::Align;
  using report::Narrow;
  report::Table table;
  table.columns = {{"stage", Align::kLeft, {}, {}, Narrow::kWhole},
                   {"data", Align::kLeft, {}, {}, Narrow::kFold},
                   {"an epoch"},
                   {"lasts"},
                   {"steps"},
                   {"tokens"},
                   {"learning rate"},
                   {"evaluations", Align::kRight, {}, {}, Narrow::kLeftOut}};
  for (size_t i = 0; i < plan.plan.stages.size(); ++i)
    table.rows.push_back(row_of(plan, i, forecast_of(plan, i)));
  return table;
}

void print_report(const PlanReport& plan) {
  const Style style(stdout);
  for (const std::string& notice : plan.notices)
    fmt::print("{}\n", fitted(stdout, "note: " + visible(notice)));
  const size_t count = plan.plan.stages.size();
  fmt::print("{}: {}, for {}\n\n", style.bold(visible(plan.plan.name)),
             counted(static_cast<int64_t>(count), "stage"), plan.preset);
  Totals totals;
  for (size_t i = 0; i < count; ++i) totals.add(forecast_of(plan, i));
  report::Report shown;
  shown.add(stage_table(plan));
  // Elsewhere than on a terminal a stage is one line, however long.
  const int width = is_terminal(stdout) ? terminal_width(stdout) : std::numeric_limits<int>::max();
  fmt::print("{}\n", report::render_terminal(shown, {width, can_colour(stdout)}));
  fmt::print("in all {} steps, {} tokens\n", or_open(totals.steps, totals.is_estimate),
             or_open(totals.tokens, totals.is_estimate));
  for (const Stage& stage : plan.plan.stages)
    for (const auto& [key, text] : stage.overrides)
      if (key != "dataset")
        fmt::print("{}\n",
                   fitted(stdout, fmt::format("  {}: {} = {}", stage.name, key, visible(text))));
  for (const Error& mistake : plan.mistakes) tell_error(mistake);
}

json to_json(const PlanReport& report) {
  json stages = json::array(), mistakes = json::array();
  Totals totals;
  for (size_t i = 0; i < report.plan.stages.size(); ++i) {
    const Forecast f = forecast_of(report, i);
    totals.add(f);
    stages.push_back(stage_json(report.plan.stages[i], report.stages[i], f));
  }
  for (const Error& mistake : report.mistakes)
    mistakes.push_back({{"sentence", mistake.what()}, {"hint", mistake.hint()}});
  return {{"plan", report.plan.name},
          {"preset", report.preset},
          {"stages", stages},
          {"steps", or_null(totals.steps)},
          {"tokens", or_null(totals.tokens)},
          {"notices", report.notices},
          {"mistakes", mistakes}};
}

}  // namespace fathom
