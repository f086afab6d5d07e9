#include "fathom/study/evaluation/evaluation_report.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "fathom/base/text.h"
#include "fathom/model/spec/depth_program.h"
#include "fathom/model/spec/loop_counts.h"
#include "fathom/model/spec/loop_metric_names.h"
#include "fathom/study/tables/exit_table.h"
#include "fathom/study/tables/metric_table.h"
#include "fathom/track/metric_text.h"

namespace fathom {
namespace {

report::Table layer_table(std::map<std::string, std::map<ListPlace, double>>& lists, bool exits) {
  const report::NumberForm fixed3 = {report::NumberForm::Kind::kFixed, 3};
  report::Table table;
  table.columns = {{"layer"},
                   {"loss", report::Align::kRight, {report::NumberForm::Kind::kFixed, 4}},
                   {"accuracy", report::Align::kRight, fixed3}};
  if (exits) {
    table.columns.push_back(
        {"answers", report::Align::kRight, {report::NumberForm::Kind::kPercent, 1}});
    table.columns.push_back({"right there", report::Align::kRight, fixed3});
  }
  for (const auto& [layer, loss] : lists["layer_loss"]) {
    std::vector<report::Cell> row = {to_text(layer), loss, lists["layer_accuracy"][layer]};
    if (exits) {
      const double rate = lists["exit_rate"][layer];
      row.emplace_back(rate);
      row.push_back(rate > 0 ? report::Cell(lists["exit_correct"][layer] / rate)
                             : report::Cell("-"));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

// Where several layers read out: a row each; with a halting rule, what each of them answered.
// `depth`: layers of a whole walk.
void add_layers(report::Report& report, report::Table& facts,
                const std::map<std::string, double>& metrics, size_t depth) {
  auto lists = lists_of(metrics);
  if (lists["layer_loss"].empty()) return;
  const bool exits = metrics.count("exit_depth") > 0;
  if (metrics.count("infer") > 0)
    facts.rows.push_back({"infer", fmt::format("{:.4f} nats per token, from the layer that answers",
                                               metrics.at("infer"))});
  if (exits) {
    facts.rows.push_back(
        {"depth", fmt::format("{:.2f} of {} layers on average", metrics.at("exit_depth"), depth)});
    facts.rows.push_back({"fallback", unsure_text(metrics.at("exit_fallback"))});
    if (metrics.count("infer") == 0)
      facts.rows.push_back({"halting", "only logged: the last layer answers (halt_use = log)"});
  }
  report.add(layer_table(lists, exits));
  // As a picture in those formats that have room for one.
  report::Plot plot;
  plot.title = "loss of every layer";
  plot.x.label = "layer";
  plot.y.label = "nats per token";
  report::Line line{"loss", {}, {}};
  for (const auto& [layer, loss] : lists["layer_loss"])
    line.x.push_back(layer.front()), line.y.push_back(loss);
  plot.lines = {line};
  if (exits) {
    report::Bars bars{"who answers", {}, {}, {report::NumberForm::Kind::kPercent, 1}};
    for (const auto& [layer, rate] : lists["exit_rate"])
      bars.names.push_back("layer " + to_text(layer)), bars.values.push_back(rate);
    report.add(std::move(bars), report::kInHtml | report::kInSvg);
  }
  report.add(std::move(plot), report::kInHtml | report::kInSvg);
}

// Of a model that looks ahead: its loss at each shift, beside what a guess by frequency costs.
void add_shifts(report::Report& report, report::Table& facts,
                const std::map<std::string, double>& metrics) {
  auto lists = lists_of(metrics);
  if (lists["loss_shift"].empty()) return;
  for (const auto& [name, key] :
       {std::pair{"without a shift", "loss_without_shift"}, {"unigram entropy", "unigram_entropy"}})
    if (metrics.count(key) > 0)
      facts.rows.push_back({name, fmt::format("{:.4f} nats per token", metrics.at(key))});
  report::Table table;
  table.columns = {{"shift"},
                   {"loss", report::Align::kRight, {report::NumberForm::Kind::kFixed, 4}}};
  report::Plot plot;
  plot.title = "loss by how far ahead";
  plot.x.label = "shift";
  plot.y.label = "nats per token";
  report::Line line{"loss", {}, {}}, floor{"unigram entropy", {}, {}};
  for (const auto& [shift, loss] : lists["loss_shift"]) {
    table.rows.push_back({to_text(shift), loss});
    line.x.push_back(shift.front()), line.y.push_back(loss);
    if (metrics.count("unigram_entropy") == 0) continue;
    floor.x.push_back(shift.front()), floor.y.push_back(metrics.at("unigram_entropy"));
  }
  plot.lines = {line};
  if (!floor.x.empty()) plot.lines.push_back(floor);
  report.add(std::move(table));
  report.add(std::move(plot), report::kInHtml | report::kInSvg);
}

// How often tokens went round the loops that they may leave.
void add_loops(report::Table& facts, const std::map<std::string, double>& metrics,
               const DepthPlan& plan) {
  const std::vector<std::string> names = loop_group_names(plan), keys = loop_group_keys(plan);
  for (size_t g = 0; g < keys.size(); ++g) {
    const auto iterations = metrics.find("loop_iterations/" + keys[g]);
    if (iterations == metrics.end()) continue;
    facts.rows.push_back(
        {"loop of " + names[g],
         fmt::format("{:.2f} iterations on average; {:.1f} % saved", iterations->second,
                     100 * metrics.at("loop_saved/" + keys[g]))});
  }
}

// Metrics that have a sentence or a column of their own.
const std::set<std::string> kToldByName = {
    "accuracy",        "word_accuracy",       "infer",          "exit_depth",
    "exit_fallback",   "exit_confident_last", "earlystop",      "loss_without_shift",
    "unigram_entropy", "result_loss",         "result_accuracy"};

}  // namespace

report::Report evaluation_report(const EvalJob& request, const RunState& state,
                                 const std::string& corpus, const Evaluation& e, double bytes,
                                 bool same_corpus) {
  // A loss of no token has no perplexity.
  const bool says_tokens = e.metrics.count("accuracy") > 0;
  report::Report report;
  report.title = fmt::format("{} on {}/{}", request.model.run, corpus, request.split);
  report.values = {{"run", request.model.run},
                   {"checkpoint", request.model.folder},
                   {"step", state.step},
                   {"dataset", corpus},
                   {"split", request.split},
                   {"same_corpus", same_corpus},
                   {"targets", e.targets},
                   {"loss", e.loss},
                   {"standard_error", e.standard_error},
                   {"metrics", e.metrics}};
  if (request.numbers) report.values["numbers"] = request.numbers_given;
  report::Table facts;
  facts.header = false;
  facts.columns = {{"", report::Align::kLeft},
                   {"", report::Align::kLeft, {}, {}, report::Narrow::kFold}};
  const auto add = [&](const char* name, std::string text) {
    facts.rows.push_back({name, std::move(text)});
  };
  add("loss",
      fmt::format("{:.4f} +- {}{}", e.loss, error_text(e), says_tokens ? " nats per token" : ""));
  if (e.objective) {
    report.values["objective"] = *e.objective;
    add("objective", fmt::format("{:.4f}", *e.objective));
  }
  if (says_tokens) {
    report.values["perplexity"] = std::exp(e.loss);
    report.values["accuracy"] = e.accuracy();
    add("perplexity", fmt::format("{:.3f}", std::exp(e.loss)));
  }
  if (bytes > 0) {
    report.values["bytes"] = bytes;
    const double bits_per_byte = e.loss * e.targets / std::log(2.0) / bytes;
    report.values["bits_per_byte"] = bits_per_byte;
    add("bits per byte", fmt::format("{:.4f}", bits_per_byte));
  }
  if (says_tokens) add("accuracy", fmt::format("{:.4f}", e.accuracy()));
  if (e.metrics.count("word_accuracy") > 0)
    add("word accuracy", fmt::format("{:.4f}", e.value("word_accuracy")));
  // Of numbers, where the model tells them: the tokens of results alone.
  if (e.metrics.count("result_loss") > 0)
    add("of results", fmt::format("{:.4f} nats per token, accuracy {:.4f}", e.value("result_loss"),
                                  e.value("result_accuracy")));
  report.add(report::Paragraph{fmt::format("{} at step {} on {}/{}, {} targets", request.model.run,
                                           with_commas(state.step), corpus, request.split,
                                           with_commas(static_cast<int64_t>(e.targets)))});
  if (request.numbers) report.add(report::Paragraph{"with " + join(request.numbers_given, ", ")});
  const ModelConfig& model = state.config.model;
  const DepthPlan plan = make_depth_plan(model);
  report::Report layers;
  add_layers(layers, facts, e.metrics, unroll(plan, make_policy(model)).depth());
  const HaltingConfig& halting = model.halting;
  if (halting.rule != HaltRule::kNone && halting.rule != HaltRule::kMax)
    facts.rows.push_back({"halts where", halting_sentence(halting.rule) +
                                             (halting.expects() ? "; in expectation" : "")});
  add_shifts(layers, facts, e.metrics);
  add_loops(facts, e.metrics, plan);
  report.add(std::move(facts));
  report::Table measured = measured_table(e.metrics, kToldByName);
  if (!measured.rows.empty()) report.add(std::move(measured));
  add_parts_of_metrics(e.metrics, report);
  for (report::Part& part : layers.parts) report.parts.push_back(std::move(part));
  return report;
}

}  // namespace fathom
