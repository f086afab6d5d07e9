#include "fathom/study/guess_layers.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fathom/base/error.h"

namespace fathom {
namespace {

std::string guessed_text(const Tokenizer& tokenizer, int64_t token) {
  // Ids of a padded table stand for nothing.
  if (token >= tokenizer.vocab_size()) return "";
  const auto id = static_cast<uint32_t>(token);
  return tokenizer.decode({&id, 1});
}

std::vector<GuessTable::Guess> guesses_of(const Tensor& prediction_K, const Tensor& ln_p_K,
                                          const Tokenizer& tokenizer) {
  const Tensor prediction = prediction_K.to(at::kCPU), ln_p = ln_p_K.to(at::kCPU, at::kDouble);
  std::vector<GuessTable::Guess> all;
  for (int64_t k = 0; k < prediction.size(0); ++k) {
    const auto token = prediction[k].item<int64_t>();
    all.push_back({token, guessed_text(tokenizer, token), std::exp(ln_p[k].item<double>())});
  }
  return all;
}

}  // namespace

GuessTable guess_layers(const DepthModel& model, const Tokenizer& tokenizer,
                        const std::vector<int64_t>& tokens, int64_t places,
                        std::optional<int64_t> shift_id) {
  const int64_t K = std::min(places, static_cast<int64_t>(tokens.size()));
  if (K < 1) fail("a text of no tokens has nothing that layers could go on from");
  const at::NoGradGuard no_grad;
  std::vector<int64_t> seen = tokens;
  if (shift_id) seen.insert(seen.begin(), *shift_id);
  Batch batch;
  batch.tokens_BT =
      index_tensor(seen, model.parameters().all().front().tensor.device()).unsqueeze(0);
  const auto last_places = [&](const Tensor& x_RC) { return x_RC.narrow(0, x_RC.size(0) - K, K); };
  const Kept kept = {"r"};
  WalkOptions options;
  options.read = false;
  options.observe = kept.observer();
  const DepthWalk& walk = model.walk();
  const DepthProgram& program = model.program();
  const Trace trace = walk.run(program, batch, options);
  const StepSpec& last = program.steps[size_t(trace.readouts().back()->step)];
  const int64_t width = kept.at(last.index, "r").size(1);

  GuessTable table;
  for (auto token = tokens.end() - K; token != tokens.end(); ++token)
    table.seen.push_back(guessed_text(tokenizer, *token));
  for (const StepSpec& step : program.steps) {
    GuessTable::Layer layer;
    layer.own = step.layer.readout.has_value();
    layer.name = step.site("", step.place).substr(1);  // without the point behind nothing
    Carry carry;
    carry.r_RC = kept.at(step.index, "r");
    if (layer.own || (carry.r_RC.defined() && carry.r_RC.size(1) == width)) {
      carry.r_RC = last_places(carry.r_RC);
      const Reading reading = walk.read(layer.own ? step : last, carry, {}, walk.params());
      layer.guesses = guesses_of(reading.prediction_R, reading.ln_max_R, tokenizer);
    }
    table.layers.push_back(std::move(layer));
  }
  Asked asked;
  asked.exit = Exit::kLast;
  asked.last = K;
  const Tensor ln_p_KV =
      at::log_softmax(model.next_token(Rows(batch), asked).scores_NV.to(at::kDouble), -1);
  const Tensor prediction_K = ln_p_KV.argmax(-1);
  const Tensor ln_p_K = ln_p_KV.gather(1, prediction_K.unsqueeze(1)).squeeze(1);
  table.layers.push_back({"scores", guesses_of(prediction_K, ln_p_K, tokenizer), true});
  return table;
}

}  // namespace fathom
