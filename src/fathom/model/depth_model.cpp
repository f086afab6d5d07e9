#include "fathom/model/depth_model.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>

#include "fathom/ops/ops.h"

namespace fathom {
namespace {

// (..., C) -> (..., V), by the head that answered in the record.
Tensor scores(const DepthWalk& walk, const DepthProgram& program, const StepRecord& record,
              const Tensor& n) {
  const ReadoutSpec& readout = *program.steps[size_t(record.step)].layer.readout;
  const LinearParams& head = walk.params().head.at(readout.head);
  return linear(n, head.weight, head.bias);
}

// A walk that keeps what the heads are given, and reads only what halting needs.
WalkOptions states_only() {
  WalkOptions options;
  options.keep_states = true;
  options.read = false;
  return options;
}

int last_readout(const DepthProgram& program) {
  int last = -1;
  for (const StepSpec& step : program.steps)
    if (step.layer.readout) last = step.index;
  return last;
}

}  // namespace

NextToken NextTokenModel::next_token(const Tensor& tokens_BT, Exit exit) const {
  Batch batch;
  batch.tokens_BT = tokens_BT;
  return next_token(Rows(batch), exit, nullptr);
}

DepthModel::DepthModel(ModelParts parts)
    : NextTokenModel(std::move(parts.parameters)),
      walk_(parts.plan, parts.config.backbone, bind(parameters_, parts.plan),
            std::move(parts.functions)),
      program_(unroll(walk_.plan(), parts.policy)),
      supervision_(std::move(parts.supervision)) {}

ModelOutput DepthModel::forward(const Batch& given, const Pass& pass) const {
  const Batch batch = prepare(given, pass);
  WalkOptions options;
  options.training = pass.training;
  options.random = pass.random;
  options.recompute_blocks = pass.recompute_blocks;
  options.keep_states = true;
  options = with_needs(supervision_, options);
  if (at::GradMode::is_enabled()) options.row_weights = row_weights(supervision_, batch);
  const Trace trace = walk_.run(program_, batch, options);
  ModelOutput output;
  output.losses = supervise(supervision_, walk_, program_, batch, trace, options);
  output.metrics = exit_metrics(program_.policy.halting.config, trace, batch);
  output.loss = answer_loss(supervision_, trace, batch, output.losses);
  add_losses(batch, pass, trace, output);
  return output;
}

std::map<std::string, double> DepthModel::known_counts(const Batch& given, const Pass& pass) const {
  const Batch batch = prepare(given, pass);
  std::map<std::string, double> counts = fathom::known_counts(supervision_, batch);
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
  const Trace trace = walk_.run(program_, batch, states_only());
  const StepRecord& last = *trace.readouts().back();
  return scores(walk_, program_, last, last.n_RC).view({tokens_BT.size(0), tokens_BT.size(1), -1});
}

// A sequence's last row is in the walk until it halts; where it halts first, or else at the last
// readout, is the answer.
NextToken DepthModel::next_token(const Rows& rows, Exit exit, WalkCache* cache) const {
  const HaltingPolicy& halting = program_.policy.halting;
  const bool exits = exit == Exit::kFirstConfident && halting.halts();
  WalkOptions options = states_only();
  options.cache = cache;
  options.skip = exits && halting.history == MaskHistory::kCumulative;
  const Trace trace = walk_.run(program_, std::make_shared<const Rows>(rows), Tensor(), options);

  const auto B = static_cast<size_t>(rows.batch());
  std::vector<Tensor> scores_1V(B);
  std::vector<int64_t> layer(B, -1);
  NextToken next;
  next.dense = rows.count() * static_cast<int64_t>(program_.steps.size());
  for (const StepRecord& record : trace.steps) next.computed += record.rows->count();
  const int last = last_readout(program_);  // of the program: the walk may have ended before it
  for (const StepRecord* record : trace.readouts()) {
    const bool is_last = record->step == last;
    if (!exits && !is_last) continue;
    const Tensor halts_R = exits ? record->decision.halts_R.to(at::kCPU) : Tensor();
    for (size_t b = 0; b < B; ++b) {
      const int64_t row = record->rows->offsets()[b + 1] - 1;
      // Rows leave in any order: this sequence's last one here may not be its last one.
      if (layer[b] >= 0 || row < record->rows->offsets()[b] ||
          record->rows->positions()[size_t(row)] !=
              rows.positions()[size_t(rows.offsets()[b + 1]) - 1])
        continue;
      if (!is_last && !halts_R[row].item<bool>()) continue;
      layer[b] = record->layer;
      const Tensor& n_RC = record->n_RC;
      scores_1V[b] =
          scores(walk_, program_, *record, n_RC.size(0) == 1 ? n_RC : n_RC.narrow(0, row, 1));
    }
  }
  for (const Tensor& s : scores_1V)
    if (s.defined()) next.scores_BV = s;
  for (Tensor& s : scores_1V)
    if (!s.defined()) s = at::zeros_like(next.scores_BV);
  if (B > 1) next.scores_BV = at::cat(scores_1V);
  next.layer_B = index_tensor(layer, at::kCPU);
  return next;
}

}  // namespace fathom
