#include "fathom/model/depth_model.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/gate_loss.h"
#include "fathom/model/loop_metrics.h"
#include "fathom/model/spec/loop_metric_names.h"
#include "fathom/model/trace_flops.h"
#include "fathom/ops/ops.h"

namespace fathom {
namespace {

// (..., C) -> (..., V), by the head that answered in the record.
Tensor scores(const DepthWalk& walk, const DepthProgram& program, const StepRecord& record,
              const Tensor& h) {
  const ReadoutSpec& readout = *program.steps[size_t(record.step)].layer.readout;
  const LinearParams& head = walk.params().head.at(readout.head);
  return linear(h, head.weight, head.bias);
}

// The row of a sequence at a position; -1: it is not there.
int64_t row_at(const Rows& rows, size_t sequence, int64_t position) {
  const auto begin = rows.positions().begin();
  const auto first = begin + rows.offsets()[sequence], end = begin + rows.offsets()[sequence + 1];
  const auto found = std::lower_bound(first, end, position);
  return found == end || *found != position ? -1 : found - begin;
}

// The policy of a pass: its draws depend on seed and step, and on a sequence's number in the step,
// or evaluation, but neither on state nor on how that is split.
Policy drawn(const Policy& policy, const Pass& pass, int64_t B) {
  const auto numbers = [&](size_t group, int64_t sequence) {
    const std::string site = fmt::format("loop_count.{}", group);
    return sequence < 0 ? pass.random.of_step(site) : pass.random.of_sequence(site, sequence);
  };
  return with_drawn_counts(policy, B, numbers, pass.training);
}

// Else the answer's loss stands for it: weights by layer say nothing of other layers than those
// that are trained, and where an evaluation lets nobody halt there is no value of a term that asks
// who does.
bool tells_objective(const SupervisionTable& table, const DepthProgram& program, const Pass& pass) {
  return program.policy.layers == 0 &&
         (pass.training || program.policy.halting.halts() || needs_halting(table).empty());
}

// Nothing would be computed again, and the key would have no effect.
void require_blocks_without_functions(const DepthPlan& plan, const DepthProgram& program) {
  for (const StepSpec& step : program.steps)
    if (check_wiring(plan.wirings[size_t(step.layer.wiring)]).functions.empty()) return;
  fail(
      "the model watches functions that every block has: recompute_blocks computes none of them "
      "again",
      "train it without --recompute_blocks");
}

// "loops/layers_1-2": iterations of a sequence, by group.
void add_counts_drawn(const Policy& policy, int64_t B, const std::vector<std::string>& groups,
                      std::map<std::string, Metric>& metrics) {
  for (size_t g = 0; g < policy.loops.size(); ++g) {
    const LoopPolicy& loop = policy.loops[g];
    double sum = 0;
    for (int64_t b = 0; b < B; ++b)
      sum += static_cast<double>(loop.counts.empty() ? loop.count
                                                     : loop.counts[static_cast<size_t>(b)]);
    metrics["loops/" + groups.at(g)] = {sum, static_cast<double>(B)};
  }
}

}  // namespace

NextToken NextTokenModel::next_token(const Tensor& tokens_BT, Exit exit) const {
  Batch batch;
  batch.tokens_BT = tokens_BT;
  Asked asked;
  asked.exit = exit;
  return next_token(Rows(batch), asked);
}

DepthModel::DepthModel(ModelParts parts)
    : NextTokenModel(std::move(parts.parameters)),
      walk_(parts.plan, parts.config.backbone,
            without_gradient(bind(parameters_, parts.plan), frozen_parts(parts.config.supervision)),
            std::move(parts.functions)),
      program_(unroll(walk_.plan(), parts.policy)),
      groups_(loop_group_keys(walk_.plan())),
      supervision_(std::move(parts.supervision)),
      vocab_size_(parts.vocab_size),
      counter_(walk_.plan(), program_, walk_.backbone(), vocab_size_) {
  for (const Parameter& p : parameters_.all())
    if (p.spec.part == Part::kOwn && p.spec.shape.size() == 2)
      own_flops_ += 2 * static_cast<double>(p.spec.count());
}

ModelOutput DepthModel::forward(const Batch& given, const Pass& pass) const {
  const Batch batch = prepare(given, pass);
  const bool draws = draws_in(pass);
  std::optional<DepthProgram> other;
  if (draws || pass.policy != nullptr || (pass.training && program_.policy.layers > 0))
    other = program_of(pass, batch.tokens_BT.size(0));
  const DepthProgram& program = other ? *other : program_;
  const bool has_objective = tells_objective(supervision_, program, pass);
  WalkOptions options;
  options.training = pass.training;
  options.random = pass.random;
  options.recompute_blocks = pass.recompute_blocks;
  Kept kept = {"head"};
  for (const std::string& name : watch()) {
    const bool is_of_function = name.rfind("F.", 0) == 0;
    if (name != "door" && name != "head" && !is_of_function && pass.recompute_blocks &&
        at::GradMode::is_enabled())
      fail(fmt::format("the model watches {}, which with recompute_blocks has no gradient",
                       in_quotes(name)),
           "train it without --recompute_blocks");
    options.keep_functions = options.keep_functions || is_of_function;
    kept.keep(name);
  }
  if (options.keep_functions && pass.recompute_blocks && at::GradMode::is_enabled())
    require_blocks_without_functions(walk_.plan(), program);
  const bool teaches_gates =
      pass.training && at::GradMode::is_enabled() && has_halting_gates(program);
  if (teaches_gates) keep_iterations(program, kept);
  options = with_needs(supervision_, options, kept);
  if (has_objective && pass.training) options.uses = readout_uses(supervision_, program);
  if (has_objective && at::GradMode::is_enabled())
    options.row_weights =
        row_weights(supervision_, batch, program.policy.halting.config.probability_cap());
  options.skip = may_skip(program, options, kept);
  Trace trace = walk_.run(program, batch, options);
  if (options.skip) complete(trace, program);
  for (const std::string& name : watch())
    if (!kept.has_seen(name))
      fail(fmt::format("the model watches {}, which its walk does not show", in_quotes(name)),
           "names are in model/walk/observer.h, and those that the wirings assign");
  const WalkedBatch walked = {walk_, program, batch, options, trace, kept};
  ModelOutput output;
  if (has_objective) output.losses = supervise(supervision_, walked);
  output.metrics = exit_metrics(program, trace, batch, pass.training);
  if (draws) add_counts_drawn(program.policy, batch.tokens_BT.size(0), groups_, output.metrics);
  output.metrics.merge(loop_metrics(program, trace, batch, groups_));
  if (pass.predictions) {
    output.predictions_BT = predictions(program, trace, batch, pass.training);
    if (output.predictions_BT.defined())
      output.predictions_BT = output.predictions_BT.view(batch.tokens_BT.sizes());
  }
  output.loss = answer_loss(supervision_, trace, batch, output.losses);
  if (!has_objective) output.losses = {output.loss};
  output.flops = flops(program, trace, at::GradMode::is_enabled());
  if (teaches_gates) output.losses.push_back(gate_loss(walked, &output.flops));
  add_losses(walked, pass, output);
  return output;
}

// Rows wait outside of the loops that they have left, where nobody asks for more than what is read.
bool DepthModel::may_skip(const DepthProgram& program, const WalkOptions& options,
                          const Kept& kept) const {
  const HaltingPolicy& halting = program.policy.halting;
  return !at::GradMode::is_enabled() && !options.training && !halting.halts() && !halting.logs() &&
         rows_may_leave_loops(program) && !kept.keeps("door") && watch().empty();
}

bool DepthModel::draws_in(const Pass& pass) const {
  return draws_counts(pass.policy != nullptr ? *pass.policy : program_.policy, pass.training);
}

DepthProgram DepthModel::program_of(const Pass& pass, int64_t sequences) const {
  const Policy& given = pass.policy != nullptr ? *pass.policy : program_.policy;
  const Policy policy = pass.training ? as_trained(given) : given;
  return unroll(walk_.plan(), draws_in(pass) ? drawn(policy, pass, sequences) : policy);
}

double DepthModel::flops(const DepthProgram& program, const Trace& trace, bool gradients) const {
  double computed = 0;
  for (const StepRecord& record : trace.steps) computed += static_cast<double>(record.computed);
  const double own = own_flops_ * computed / static_cast<double>(program.steps.size());
  const double walked =
      &program == &program_
          ? flops_of(counter_, trace, gradients)
          : flops_of({walk_.plan(), program, walk_.backbone(), vocab_size_}, trace, gradients);
  return walked + (gradients ? 3 * own : own);
}

std::map<std::string, double> DepthModel::known_counts(const Batch& given, const Pass& pass) const {
  const Batch batch = prepare(given, pass);
  std::map<std::string, double> counts = fathom::known_counts(supervision_, batch);
  const bool other = pass.policy != nullptr;
  if (pass.training &&
      has_halting_gates(other ? program_of(pass, batch.tokens_BT.size(0)) : program_))
    counts[kGateLoss] = target_count(batch);
  add_counts(batch, counts);
  return counts;
}

std::string DepthModel::answers() const {
  return fathom::answers(walk_.plan());
}

const NextTokenModel* DepthModel::next_token_model() const {
  return predicts_next_token(walk_.plan()) ? this : nullptr;
}

Tensor DepthModel::logits(const Tensor& tokens_BT) const {
  Batch batch;
  batch.tokens_BT = tokens_BT;
  const Kept kept = {"head"};
  WalkOptions options;
  options.read = false;
  options.observe = kept.observer();
  const Trace trace = walk_.run(program_, batch, options);
  if (trace.readouts().empty()) fail("the model has no head, and no scores of a next token");
  const StepRecord& last = *trace.readouts().back();
  return scores(walk_, program_, last, kept.head(last.step))
      .view({tokens_BT.size(0), tokens_BT.size(1), -1});
}

NextToken DepthModel::next_token(const Rows& rows, const Asked& asked) const {
  if (asked.last < 1) fail(fmt::format("scores of the last {} rows are none", asked.last));
  std::optional<DepthProgram> other;
  if (asked.policy != nullptr) other = unroll(walk_.plan(), *asked.policy);
  const DepthProgram& program = other ? *other : program_;
  const HaltingPolicy& halting = program.policy.halting;
  const Kept kept = {"head"};
  WalkOptions options;  // reads only what halting needs
  options.read = false;
  options.observe = kept.observer();
  options.cache = asked.cache;
  options.random = asked.random;
  refuse_sequences(program.policy);
  // Who has left a loop is no longer computed. With Exit::kLast a walk that halts has all rows.
  const bool mixes =
      asked.exit == Exit::kFirstConfident && halting.halts() && halting.expects(options.training);
  options.skip = halting.halts() ? asked.exit == Exit::kFirstConfident && !mixes &&
                                       halting.history == MaskHistory::kCumulative
                                 : rows_may_leave_loops(program);
  const Trace trace = walk_.run(program, std::make_shared<const Rows>(rows), Tensor(), options);
  NextToken next;
  next.dense = rows.count() * static_cast<int64_t>(program.steps.size());
  for (const StepRecord& record : trace.steps) next.computed += record.computed;
  next.flops = flops(program, trace, /*gradients=*/false);
  if (mixes)
    mix_answers(rows, asked, program, trace, kept, next);
  else
    choose_answers(rows, asked, program, trace, kept, next);
  return next;
}

// All layers answer, by the probabilities that rows halt there (HaltInEval::kExpect): the scores
// are ln sum_i pi_i p_i, and the layer with the largest share is told.
void DepthModel::mix_answers(const Rows& rows, const Asked& asked, const DepthProgram& program,
                             const Trace& trace, const Kept& kept, NextToken& next) const {
  const int64_t N = rows.batch() * asked.last;
  std::vector<int64_t> here, numbers;  // rows that are there, and of which answers
  for (int64_t n = 0; n < N; ++n) {
    const auto b = static_cast<size_t>(n / asked.last);
    const int64_t row = rows.offsets()[b + 1] - asked.last + n % asked.last;
    if (row < rows.offsets()[b]) continue;
    here.push_back(row);
    numbers.push_back(n);
  }
  const std::vector<const StepRecord*> readouts = trace.readouts();
  const at::Device device = rows.token_R.device();
  const Tensor here_K = index_tensor(here, device), numbers_K = index_tensor(numbers, device);
  Tensor mixture_KV, most_K, layer_K;
  const std::vector<Tensor> shares_R = expected_shares(readouts);
  at::ScalarType dtype = at::kFloat;
  for (size_t i = 0; i < readouts.size(); ++i) {
    const Tensor share_K = shares_R[i].index_select(0, here_K);
    const Tensor scores_KV =
        scores(walk_, program, *readouts[i], kept.head(readouts[i]->step).index_select(0, here_K));
    next.flops += 2 * static_cast<double>(scores_KV.numel() * kept.head(readouts[i]->step).size(1));
    dtype = scores_KV.scalar_type();
    const Tensor said_KV =
        share_K.unsqueeze(1) * at::log_softmax(scores_KV.to(at::kDouble), -1).exp();
    const Tensor number_K = at::full_like(share_K, readouts[i]->layer);
    const bool first = !mixture_KV.defined();
    mixture_KV = first ? said_KV : mixture_KV + said_KV;
    layer_K = first ? number_K : at::where(share_K.gt(most_K), number_K, layer_K);
    most_K = first ? share_K : at::maximum(most_K, share_K);
  }
  next.layer_N = at::full({N}, -1, at::TensorOptions(at::kLong));
  next.layer_N.index_copy_(0, numbers_K.to(at::kCPU), layer_K.to(at::kCPU, at::kLong));
  // The logarithm of what no layer thinks possible is finite, too.
  const Tensor scores_KV = mixture_KV.clamp_min(1e-300).log().to(dtype);
  next.scores_NV = at::zeros({N, scores_KV.size(1)}, scores_KV.options().requires_grad(false));
  next.scores_NV.index_copy_(0, numbers_K, scores_KV);
}

// A row's answer is given where it halts first, or else at the last readout that it came to: it may
// wait for a loop's end when the others read out for the last time.
void DepthModel::choose_answers(const Rows& rows, const Asked& asked, const DepthProgram& program,
                                const Trace& trace, const Kept& kept, NextToken& next) const {
  const bool exits = asked.exit == Exit::kFirstConfident && program.policy.halting.halts();
  const int64_t N = rows.batch() * asked.last;
  struct Answer {
    const StepRecord* record = nullptr;
    int64_t row = -1;
    bool settled = false;
  };
  std::vector<Answer> answers(static_cast<size_t>(N));
  for (const StepRecord* record : trace.readouts()) {
    const Tensor halts_R = exits ? record->decision.halts_R.to(at::kCPU) : Tensor();
    const Tensor away_R = record->away_R.defined() ? record->away_R.to(at::kCPU) : Tensor();
    for (int64_t n = 0; n < N; ++n) {
      Answer& answer = answers[static_cast<size_t>(n)];
      const auto b = static_cast<size_t>(n / asked.last);
      const int64_t number = rows.offsets()[b + 1] - asked.last + n % asked.last;
      if (answer.settled || number < rows.offsets()[b]) continue;
      const int64_t row = row_at(*record->rows, b, rows.positions()[static_cast<size_t>(number)]);
      if (row < 0 || (away_R.defined() && away_R[row].item<bool>())) continue;
      answer = {record, row, exits && halts_R[row].item<bool>()};
    }
  }
  std::vector<int64_t> layer;
  for (const Answer& a : answers) layer.push_back(a.record == nullptr ? -1 : a.record->layer);
  next.layer_N = index_tensor(layer, at::kCPU);
  for (const StepRecord* record : trace.readouts()) {
    std::vector<int64_t> here, numbers;  // its rows, and of which answers
    for (int64_t n = 0; n < N; ++n)
      if (answers[static_cast<size_t>(n)].record == record) {
        here.push_back(answers[static_cast<size_t>(n)].row);
        numbers.push_back(n);
      }
    if (here.empty()) continue;
    const Tensor n_RC = kept.head(record->step);
    Tensor n_KC = n_RC;  // both are in order
    if (static_cast<int64_t>(here.size()) < n_RC.size(0))
      n_KC = here.size() == 1 ? n_RC.narrow(0, here.front(), 1)
                              : take_rows(n_RC, index_tensor(here, n_RC.device()));
    const Tensor scores_KV = scores(walk_, program, *record, n_KC);
    next.flops += 2 * static_cast<double>(scores_KV.numel() * n_KC.size(1));
    if (static_cast<int64_t>(here.size()) == N) {
      next.scores_NV = scores_KV;
      return;
    }
    if (!next.scores_NV.defined()) next.scores_NV = zero_rows(scores_KV, N);
    put_rows_into(next.scores_NV, index_tensor(numbers, n_RC.device()), scores_KV);
  }
}

}  // namespace fathom
