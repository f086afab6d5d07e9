#include "fathom/study/evaluation/eval_depths.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/loop_counts.h"
#include "fathom/report/render.h"
#include "fathom/study/loops/depth_table.h"
#include "fathom/track/stage_line.h"
#include "fathom/train/batches.h"
#include "fathom/train/recipe/evaluations.h"

namespace fathom {
namespace {

struct DepthLine {
  std::string name;
  std::optional<int64_t> count;
  Policy policy;
  int64_t shift = 1;  // of the rows
};

// The model as it is, and then what was asked for. The count that differences are from is there
// too.
std::vector<DepthLine> asked_of(const EvalJob& request, const ModelConfig& model,
                                std::optional<int64_t> trained) {
  std::vector<DepthLine> all = {{"as trained", {}, make_policy(model)}};
  std::vector<int64_t> counts = request.loops;
  if (!counts.empty() && trained &&
      std::find(counts.begin(), counts.end(), *trained) == counts.end())
    counts.insert(std::lower_bound(counts.begin(), counts.end(), *trained), *trained);
  const DepthPlan plan = make_depth_plan(model);
  for (const int64_t count : counts)
    all.push_back({fmt::format("{} loop{}", count, count == 1 ? "" : "s"), count,
                   with_loop_counts(plan, make_policy(model), count)});
  ModelConfig sampled = model;
  sampled.looping.eval_counts = EvalCounts::kSampled;
  sampled.loop_halting.automatic = false;  // as in training
  if (!request.loops.empty() && draws_counts(make_policy(sampled), /*training=*/false))
    all.push_back({"sampled", {}, make_policy(sampled)});
  for (DepthLine& line : all) line.shift = model.ahead.shift;
  if (request.evaluations.empty()) return all;
  for (const EvaluationSpec& spec : parse_evaluations(request.evaluations, model)) {
    const ModelConfig set = with_settings(spec, model);
    all.push_back({spec.name, {}, make_policy(set), set.ahead.shift});
  }
  return all;
}

// The mean over loop groups, where rows may leave them or counts are drawn.
std::optional<double> iterations_of(const Evaluation& e) {
  for (const char* series : {"loop_iterations/", "loops/"}) {
    double sum = 0, n = 0;
    for (const auto& [name, value] : e.metrics)
      if (name.rfind(series, 0) == 0) sum += value, n += 1;
    if (n > 0) return sum / n;
  }
  return std::nullopt;
}

}  // namespace

report::Report eval_depths(const EvalJob& request, const LoadedModel& loaded,
                           const std::string& corpus, const DepthData& data, int64_t batches,
                           at::Device device) {
  const RunConfig& config = loaded.state.config;
  DepthTable table;
  if (!request.loops.empty()) table.trained = most_trained_loops(config.model);
  std::vector<Evaluation> evaluations;
  StageLine progress;
  for (const DepthLine& asked : asked_of(request, config.model, table.trained)) {
    EvaluateOptions options;
    options.policy = &asked.policy;
    options.progress = [&](int64_t done) {
      progress.show("evaluate " + asked.name, static_cast<uint64_t>(done),
                    static_cast<uint64_t>(batches));
    };
    const auto rows = data(asked.shift);
    const Evaluation e =
        evaluate(*loaded.model, *rows, batches, device, config.training.dtype, options);
    if (!std::isfinite(e.loss))
      fail(fmt::format("the loss of {} with {} is {}", request.model.run, asked.name, e.loss),
           "its states grow with the loops; ask for fewer");
    if (asked.count && asked.count == table.trained) table.reference = table.rows.size();
    DepthRow row;
    row.name = asked.name;
    row.count = asked.count;
    row.loss = e.loss;
    row.standard_error = e.standard_error;
    if (const auto infer = e.metrics.find("infer"); infer != e.metrics.end())
      row.infer = infer->second;
    row.flops = e.flops / e.tokens;
    row.iterations = iterations_of(e);
    table.rows.push_back(std::move(row));
    evaluations.push_back(e);
  }
  progress.clear();
  for (size_t i = 0; i < evaluations.size(); ++i) {
    const DepthRow& reference = table.rows[table.reference];
    DepthRow& row = table.rows[i];
    row.difference = row.answer_loss() - reference.answer_loss();
    // Of the loss alone it is known what each sequence adds.
    row.difference_error = row.infer || reference.infer
                               ? std::numeric_limits<double>::quiet_NaN()
                               : paired_error(evaluations[i], evaluations[table.reference]);
  }
  report::Report report;
  report.title = fmt::format("{} by depth on {}/{}", request.model.run, corpus, request.split);
  report.values = {{"run", request.model.run},
                   {"checkpoint", request.model.folder},
                   {"step", loaded.state.step},
                   {"dataset", corpus},
                   {"split", request.split},
                   {"targets", evaluations.front().targets},
                   {"reference", report::json_word(table.rows[table.reference].name)},
                   {"evaluations", depth_numbers(table)}};
  if (table.trained) report.values["trained_loops"] = *table.trained;
  report.add(report::Paragraph{
      fmt::format("{} at step {} on {}/{}, {} targets, the same for all", request.model.run,
                  with_commas(loaded.state.step), corpus, request.split,
                  with_commas(static_cast<int64_t>(evaluations.front().targets)))});
  add_depths(table, report);
  return report;
}

}  // namespace fathom
