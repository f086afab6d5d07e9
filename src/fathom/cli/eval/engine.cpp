// `fathom eval`
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/cli/engine/engine.h"
#include "fathom/cli/eval/request.h"
#include "fathom/data/shard_windows.h"
#include "fathom/io/json_text.h"
#include "fathom/model/device.h"
#include "fathom/model/spec/depth_program.h"
#include "fathom/track/console.h"
#include "fathom/track/metric_text.h"
#include "fathom/train/batches.h"
#include "fathom/train/checkpoint.h"

namespace fathom {
namespace {

// Bytes of text that the targets of the first `batches` batches stand for; 0 without a tokenizer.
double bytes_of_targets(const BatchSource& source, int64_t batches, const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return 0;
  std::vector<double> bytes;  // by id
  for (uint32_t id = 0; id < tokenizer->vocab_size(); ++id)
    bytes.push_back(static_cast<double>(tokenizer->decode({&id, 1}).size()));
  double total = 0;
  Cursor cursor = source.start();
  for (int64_t i = 0; i < batches; ++i) {
    const auto [tokens, after] = source.next(cursor);
    cursor = after;
    for (const int64_t target : tokens.targets)
      if (target >= 0) total += bytes.at(static_cast<size_t>(target));
  }
  return total;
}

// One line a layer, where several read out; with a halting rule, what each of them answered.
// `depth`: layers of a whole walk.
void print_layers(const std::map<std::string, double>& metrics, size_t depth) {
  auto lists = lists_of(metrics);
  if (lists["layer_loss"].empty()) return;
  const bool exits = metrics.count("infer") > 0;
  if (exits)
    fmt::print(
        "  {:<14}{:.4f} nats per token, from the layer that answers\n  {:<14}{:.2f} of {} "
        "layers on average; {:.1f} % never were confident\n",
        "infer", metrics.at("infer"), "depth", metrics.at("exit_depth"), depth,
        100 * metrics.at("exit_fallback"));
  fmt::print("\n  layer    loss  accuracy{}\n", exits ? "   answers  right there" : "");
  for (const auto& [i, loss] : lists["layer_loss"]) {
    fmt::print("  {:>5}  {:6.4f}  {:8.3f}", to_text(i), loss, lists["layer_accuracy"][i]);
    if (exits) {
      const double rate = lists["exit_rate"][i];
      fmt::print("  {:6.1f} %  {:>11}", 100 * rate,
                 rate > 0 ? fmt::format("{:.3f}", lists["exit_correct"][i] / rate) : "-");
    }
    fmt::print("\n");
  }
}

int eval(const EvalRequest& request) {
  for (const std::string& notice : request.notices) say_note(notice);
  set_threads(request.model.threads);
  const at::Device device = choose_device(request.model.device);
  const LoadedModel loaded = load_chosen(request.model, device);
  const RunConfig& config = loaded.state.config;
  Corpus corpus = Corpus::open(request.dataset.empty() ? config.data.dataset : request.dataset);
  require_same_tokens(corpus, loaded);
  if (corpus.vocab_size() == 0) corpus.assume_vocab_size(loaded.state.vocab_size);
  const bool same_corpus = is_training_corpus(corpus, loaded.state, request.dataset);

  const int64_t T = config.model.backbone.block_size;
  const EveryWindow source(corpus, request.split, request.batch_size, T);
  int64_t batches = source.batches();
  if (request.max_batches > 0) batches = std::min(batches, request.max_batches);
  const Evaluation e = evaluate(*loaded.model, source, batches, device, config.training.dtype);
  if (!std::isfinite(e.loss))
    fail(fmt::format("the loss of {} on {}/{} is {}: its scores go beyond what a number holds",
                     request.model.run, corpus.name(), request.split, e.loss),
         "evaluate an earlier --checkpoint, or one of a run with a lower learning_rate");

  // A loss that is not of the next token says nothing about the text's bytes, and one of no token
  // has no perplexity.
  const bool says_tokens = e.metrics.count("accuracy") > 0;
  const bool predicts = loaded.model->next_token_model() != nullptr;
  const double bytes = predicts ? bytes_of_targets(source, batches, corpus.tokenizer()) : 0;
  const double bits_per_byte = bytes > 0 ? e.loss * e.targets / std::log(2.0) / bytes : 0;
  if (request.json) {
    nlohmann::json out = {{"run", request.model.run},
                          {"checkpoint", request.model.folder},
                          {"step", loaded.state.step},
                          {"dataset", corpus.name()},
                          {"split", request.split},
                          {"same_corpus", same_corpus},
                          {"targets", e.targets},
                          {"loss", e.loss},
                          {"standard_error", e.standard_error},
                          {"metrics", e.metrics}};
    if (e.objective) out["objective"] = *e.objective;
    if (says_tokens) out["perplexity"] = std::exp(e.loss), out["accuracy"] = e.accuracy();
    if (bytes > 0) out["bytes"] = bytes, out["bits_per_byte"] = bits_per_byte;
    fmt::print("{}\n", json_text(out, 2));
    return 0;
  }
  fmt::print("{} at step {} on {}/{}, {} targets\n", request.model.run,
             with_commas(loaded.state.step), corpus.name(), request.split,
             with_commas(static_cast<int64_t>(e.targets)));
  fmt::print("  {:<14}{:.4f} +- {}{}\n", "loss", e.loss, error_text(e),
             says_tokens ? " nats per token" : "");
  if (e.objective) fmt::print("  {:<14}{:.4f}\n", "objective", *e.objective);
  if (says_tokens) fmt::print("  {:<14}{:.3f}\n", "perplexity", std::exp(e.loss));
  if (bytes > 0) fmt::print("  {:<14}{:.4f}\n", "bits per byte", bits_per_byte);
  if (says_tokens) fmt::print("  {:<14}{:.4f}\n", "accuracy", e.accuracy());
  print_layers(e.metrics, unroll(make_depth_plan(config.model), make_policy(config.model)).depth());
  return 0;
}

}  // namespace

int run_eval_in_engine(const Arguments& arguments) {
  const auto request = parse_eval(arguments);
  return request ? eval(*request) : 0;
}

}  // namespace fathom
