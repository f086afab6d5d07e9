// `fathom eval`
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/cli/eval/engine_choices.h"
#include "fathom/cli/eval/engine_depths.h"
#include "fathom/cli/eval/engine_problems.h"
#include "fathom/cli/eval/request.h"
#include "fathom/model/device.h"
#include "fathom/model/spec/depth_program.h"
#include "fathom/model/spec/loop_counts.h"
#include "fathom/study/chosen_model.h"
#include "fathom/study/tables/exit_table.h"
#include "fathom/study/tables/metric_table.h"
#include "fathom/track/console.h"
#include "fathom/track/metric_text.h"
#include "fathom/track/stage_line.h"
#include "fathom/train/batches.h"
#include "fathom/train/checkpoint.h"
#include "fathom/train/recipe/plan_data.h"
#include "fathom/train/recipe/stage_data.h"
#include "fathom/train/shift_losses.h"

namespace fathom {
namespace {

// Bytes of text that the targets of the first `batches` batches stand for; 0 without a tokenizer.
double bytes_of_targets(const DataSet& source, int64_t batches, const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return 0;
  const std::vector<int64_t> bytes = bytes_by_id(*tokenizer);
  int64_t total = 0;
  Cursor cursor = source.start();
  for (int64_t i = 0; i < batches; ++i) {
    const Drawn drawn = source.next(cursor);
    cursor = drawn.after;
    for (const int64_t target : drawn.batch.targets)
      if (target >= 0) total += bytes.at(static_cast<size_t>(target));
  }
  return static_cast<double>(total);
}

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
  const std::vector<std::string> names = loop_group_names(plan);
  for (const auto& [name, iterations] : metrics) {
    const std::string list = "loop_iterations/";
    if (name.rfind(list, 0) != 0) continue;
    const std::string group = name.substr(list.size());
    facts.rows.push_back({"loop of " + names.at(std::stoul(group)),
                          fmt::format("{:.2f} iterations on average; {:.1f} % saved", iterations,
                                      100 * metrics.at("loop_saved/" + group))});
  }
}

// Metrics that have a sentence or a column of their own.
const std::set<std::string> kToldByName = {
    "accuracy",   "word_accuracy",      "infer",
    "exit_depth", "exit_fallback",      "exit_confident_last",
    "earlystop",  "loss_without_shift", "unigram_entropy"};

// What is told of an evaluation; `bytes` are those that the targets stand for, 0: unknown.
report::Report report_of(const EvalRequest& request, const LoadedModel& loaded,
                         const Corpus& corpus, const Evaluation& e, double bytes,
                         bool same_corpus) {
  // A loss of no token has no perplexity.
  const bool says_tokens = e.metrics.count("accuracy") > 0;
  report::Report report;
  report.title = fmt::format("{} on {}/{}", request.model.run, corpus.name(), request.split);
  report.values = {{"run", request.model.run},
                   {"checkpoint", request.model.folder},
                   {"step", loaded.state.step},
                   {"dataset", corpus.name()},
                   {"split", request.split},
                   {"same_corpus", same_corpus},
                   {"targets", e.targets},
                   {"loss", e.loss},
                   {"standard_error", e.standard_error},
                   {"metrics", e.metrics}};
  if (request.numbers) report.values["numbers"] = request.numbers_given;
  report::Table facts;
  facts.header = false;
  facts.columns = {{"", report::Align::kLeft}, {"", report::Align::kLeft}};
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
  report.add(report::Paragraph{fmt::format(
      "{} at step {} on {}/{}, {} targets", request.model.run, with_commas(loaded.state.step),
      corpus.name(), request.split, with_commas(static_cast<int64_t>(e.targets)))});
  if (request.numbers) report.add(report::Paragraph{"with " + join(request.numbers_given, ", ")});
  const ModelConfig& model = loaded.state.config.model;
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

// Of a run that was trained on several, one must be said.
void require_one_corpus(const EvalRequest& request, const RunConfig& config) {
  const std::string& name = request.dataset.empty() ? config.data.dataset : request.dataset;
  const std::vector<std::string> parts = data_parts(name);
  if (parts.size() > 1)
    misuse(fmt::format("{} are several corpora, and eval measures one", join(parts, ", ")),
           "--dataset=" + parts.front());
}

int eval(const EvalRequest& request) {
  for (const std::string& notice : request.notices) say_note(notice);
  set_threads(request.model.threads);
  const at::Device device = choose_device(request.model.device);
  const LoadedModel loaded = load_chosen(request.model, device);
  if (!request.choices.empty()) {
    give(eval_choices(request, loaded, device), request.output);
    return 0;
  }
  if (!request.problems.empty()) {
    give(eval_problems(request, loaded, device), request.output);
    return 0;
  }
  RunConfig config = loaded.state.config;
  if (request.numbers) config.data.numbers = *request.numbers;
  require_one_corpus(request, config);
  const Corpus corpus = open_for(loaded, request.model, config, request.dataset);
  const bool same_corpus =
      !request.numbers && is_training_corpus(corpus, loaded.state, request.dataset);

  const auto whole = whole_split(corpus, config, request.split, request.batch_size);
  const int64_t batches =
      request.max_batches > 0 ? std::min(whole->batches(), request.max_batches) : whole->batches();
  const auto at_shift = [&](int64_t shift) {
    RunConfig shifted = config;
    shifted.model.ahead.shift = shift;
    return whole_split(corpus, shifted, request.split, request.batch_size);
  };
  if (!request.loops.empty() || !request.evaluations.empty()) {
    give(eval_depths(request, loaded, corpus.name(), at_shift, batches, device), request.output);
    return 0;
  }
  StageLine progress;
  EvaluateOptions options;
  options.tokenizer = corpus.tokenizer();
  options.progress = [&](int64_t done) {
    progress.show("evaluate", static_cast<uint64_t>(done), static_cast<uint64_t>(batches));
  };
  Evaluation e = evaluate(*loaded.model, *whole, batches, device, config.training.dtype, options);
  const AheadConfig& ahead = config.model.ahead;
  if (ahead.predict_ahead && ahead.shift_losses)
    add_shift_losses(*loaded.model, ahead, at_shift, batches, device, config.training.dtype,
                     options, e);
  progress.clear();
  if (!std::isfinite(e.loss))
    fail(fmt::format("the loss of {} on {}/{} is {}: its scores go beyond what a number holds",
                     request.model.run, corpus.name(), request.split, e.loss),
         "evaluate an earlier --checkpoint, or one of a run with a lower learning_rate");

  // A loss that is not of the next token says nothing about the text's bytes.
  const bool predicts = loaded.model->next_token_model() != nullptr;
  const double bytes = predicts ? bytes_of_targets(*whole, batches, corpus.tokenizer()) : 0;
  give(report_of(request, loaded, corpus, e, bytes, same_corpus), request.output);
  return 0;
}

}  // namespace

int run_eval_in_engine(const Arguments& arguments) {
  const auto request = parse_eval(arguments);
  return request ? eval(*request) : 0;
}

}  // namespace fathom
