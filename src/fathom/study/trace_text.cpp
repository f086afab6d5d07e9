#include "fathom/study/trace_text.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/topk.h>
#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/model/exit_metrics.h"
#include "fathom/ops/plain.h"

namespace fathom {
namespace {

std::string text_of(const Tokenizer& tokenizer, int64_t token) {
  // Ids of a padded table stand for nothing.
  if (token >= tokenizer.vocab_size()) return "";
  const auto id = static_cast<uint32_t>(token);
  return tokenizer.decode({&id, 1});
}

// One layer's guesses at every position; without scores_T, the scores of halting, the largest
// probability stands for them.
std::vector<LayerGuess> guesses(const Tensor& scores_T, const Tensor& logits_TV,
                                const Tensor& targets_T, const Tokenizer& tokenizer,
                                int64_t candidates) {
  const Tensor p_TV = at::log_softmax(logits_TV.to(at::kDouble), -1).exp();
  const auto [p_TK, token_TK] = at::topk(p_TV, std::min(candidates, p_TV.size(1)), -1);
  const Tensor p_best = p_TK.to(at::kCPU).contiguous();
  const Tensor best = token_TK.to(at::kCPU).contiguous();
  const Tensor p_truth_T = p_TV.gather(1, targets_T.unsqueeze(1)).squeeze(1).to(at::kCPU);
  const Tensor score_T =
      scores_T.defined() ? scores_T.to(at::kCPU, at::kDouble) : p_best.select(1, 0);
  std::vector<LayerGuess> all(static_cast<size_t>(p_TV.size(0)));
  for (int64_t t = 0; t < p_TV.size(0); ++t) {
    LayerGuess& guess = all[static_cast<size_t>(t)];
    for (int64_t k = 0; k < best.size(1); ++k)
      guess.best.push_back({best[t][k].item<int64_t>(),
                            text_of(tokenizer, best[t][k].item<int64_t>()),
                            p_best[t][k].item<double>()});
    guess.p_truth = p_truth_T[t].item<double>();
    guess.score = score_T[t].item<double>();
  }
  return all;
}

// Of each row the readout with the largest share of its answer, the first of several.
std::vector<size_t> largest_shares(const std::vector<const StepRecord*>& readouts) {
  std::vector<size_t> largest;
  std::vector<double> most;
  const std::vector<Tensor> shares_R = expected_shares(readouts);
  for (size_t i = 0; i < shares_R.size(); ++i) {
    const Tensor share_R = shares_R[i].to(at::kCPU, at::kDouble).contiguous();
    const auto* const share = share_R.data_ptr<double>();
    if (i == 0) most.assign(static_cast<size_t>(share_R.size(0)), -1);
    largest.resize(most.size());
    for (size_t r = 0; r < most.size(); ++r) {
      if (share[r] <= most[r]) continue;
      most[r] = share[r];
      largest[r] = i;
    }
  }
  return largest;
}

}  // namespace

ExitTable trace_text(const DepthModel& model, const Tokenizer& tokenizer,
                     const std::vector<int64_t>& tokens, int64_t candidates,
                     std::optional<int64_t> shift_id) {
  if (tokens.size() < 2)
    fail(fmt::format("a text of {} tokens has nothing to predict", tokens.size()),
         "take at least two");
  const at::NoGradGuard no_grad;
  const at::Device device = model.parameters().all().front().tensor.device();
  const Tensor all = index_tensor(tokens, device);
  const int64_t T = all.size(0) - 1;
  Batch batch;
  std::vector<int64_t> seen(tokens.begin(), tokens.end() - 1);
  if (shift_id) seen.insert(seen.begin(), *shift_id);
  batch.tokens_BT = index_tensor(seen, device).unsqueeze(0);
  const auto of_text = [&](const Tensor& x) { return x.narrow(0, shift_id ? 1 : 0, T); };
  WalkOptions options;
  const Kept kept = {"head"};
  options.observe = kept.observer();
  options.read = false;
  const DepthProgram program = model.program();
  const Trace trace = model.walk().run(program, batch, options);

  const HaltingConfig& halting = model.program().policy.halting.config;
  ExitTable table;
  table.first = text_of(tokenizer, tokens[0]);
  table.rows.resize(static_cast<size_t>(T));
  std::vector<const StepRecord*> readouts = trace.readouts();
  const bool halts = halting.acts();
  // What is said by default needs no words.
  if (halts && halting.rule != HaltRule::kMax && halting.rule != HaltRule::kGold)
    table.rule = halting_sentence(halting.rule);
  const bool expects = halts && program.policy.halting.expects(/*training=*/false);
  if (expects)
    table.rule =
        "its share, the probability that the token halts there, is the largest: in "
        "expectation all layers answer";
  if (!halts) readouts = {readouts.back()};
  const std::vector<size_t> shown = expects ? largest_shares(readouts) : std::vector<size_t>();
  std::vector<bool> open(static_cast<size_t>(T), true);
  const bool loops = std::any_of(program.steps.begin(), program.steps.end(),
                                 [](const StepSpec& step) { return !step.path.empty(); });
  for (size_t i = 0; i < readouts.size(); ++i) {
    const StepRecord& record = *readouts[i];
    const StepSpec& step = program.steps[size_t(record.step)];
    const LinearParams& head = model.walk().params().head.at(step.layer.readout->head);
    if (loops) {
      table.names.push_back(step.readout_name());
      table.depths.push_back(step.index + 1);
    }
    const Tensor logits_TV = linear(of_text(kept.head(record.step)), head.weight, head.bias);
    const Tensor score_T =
        record.decision.score_R.defined() ? of_text(record.decision.score_R) : Tensor();
    const auto layer = guesses(score_T, logits_TV, all.narrow(0, 1, T), tokenizer, candidates);
    const Tensor prediction_T = logits_TV.argmax(-1).to(at::kCPU);
    const Tensor halts_T = halts ? of_text(record.decision.halts_R).to(at::kCPU) : Tensor();
    table.layers.push_back(record.layer);
    if (halts)
      table.thresholds.push_back(halting.rule == HaltRule::kBernoulli
                                     ? halting.cap.value_or(1)
                                     : halting.threshold_at(size_t(record.layer)));
    for (int64_t t = 0; t < T; ++t) {
      ExitRow& row = table.rows[static_cast<size_t>(t)];
      row.layers.push_back(layer[static_cast<size_t>(t)]);
      if (!open[static_cast<size_t>(t)]) continue;
      const bool confident = expects ? shown[static_cast<size_t>(t + (shift_id ? 1 : 0))] == i
                                     : halts && halts_T[t].item<bool>();
      if (!confident && i + 1 < readouts.size()) continue;
      open[static_cast<size_t>(t)] = false;
      row.exit = i;
      row.confident = confident || !halts;
      row.token = tokens[static_cast<size_t>(t) + 1];
      row.truth = text_of(tokenizer, tokens[static_cast<size_t>(t) + 1]);
      row.right = prediction_T[t].item<int64_t>() == tokens[static_cast<size_t>(t) + 1];
    }
  }
  return table;
}

ExitTable trace_long_text(const DepthModel& model, const Tokenizer& tokenizer,
                          const std::vector<int64_t>& tokens, int64_t window, int64_t candidates,
                          std::optional<int64_t> shift_id,
                          const std::function<void(size_t done)>& progress) {
  const size_t most = static_cast<size_t>(window) + 1;  // the last one is predicted
  if (tokens.size() <= most) return trace_text(model, tokenizer, tokens, candidates, shift_id);
  const auto part = [&](size_t end) {
    const auto last = tokens.begin() + static_cast<int64_t>(end);
    return trace_text(model, tokenizer, {last - static_cast<int64_t>(most), last}, candidates,
                      shift_id);
  };
  ExitTable table = part(most);
  for (size_t end = most + 1; end <= tokens.size(); ++end) {
    table.rows.push_back(std::move(part(end).rows.back()));
    if (progress) progress(table.rows.size());
  }
  return table;
}

}  // namespace fathom
