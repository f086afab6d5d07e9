// The dense walk, the skipping walk, and whether they are the same one.
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>

#include "property/seen.h"

namespace fathom::property {

using Decisions = std::vector<Tensor>;  // (B, T) bool by readout

inline Decisions decisions_of(const Trace& trace, const Batch& batch) {
  Decisions decisions;
  for (const StepRecord* r : trace.readouts())
    decisions.push_back(r->decision.halts_R.view(batch.tokens_BT.sizes()));
  return decisions;
}

// Loops in loops may let a stream grow until precision ends, or cancel what has grown; then nothing
// is said by how far two walks are apart.
inline bool stays_moderate(const DepthWalk& walk, const DepthProgram& program, const Batch& batch) {
  const at::NoGradGuard no_grad;
  WalkOptions options = walk_options(/*training=*/false);
  options.read = false;
  const KeptTrace trace = run_kept(walk, program, batch, options);
  double most = 0;
  for (size_t i = 0; i <= trace.steps.size(); ++i) {
    const Carry& carry = i < trace.steps.size() ? trace.door(i) : trace.end;
    for (const double x : numbers(carry.r_RC))
      most = std::max(most, std::isfinite(x) ? std::abs(x) : HUGE_VAL);
  }
  return most < 1e4;
}

struct Walks {
  DepthProgram program;
  KeptTrace dense, skipping;
};

// The dense walk, and the skipping one by the same decisions: the given ones, else the dense
// walk's.
inline Walks both(const DepthWalk& walk, const DepthProgram& program, const Batch& batch,
                  bool training, const Decisions* given = nullptr) {
  const at::NoGradGuard no_grad;
  Walks walks;
  walks.program = program;
  WalkOptions options = walk_options(training);
  options.replay = given;
  walks.dense = run_kept(walk, walks.program, batch, options);
  Decisions own;
  if (given == nullptr && walks.dense.steps.back().decision.halts_R.defined())
    own = decisions_of(walks.dense, batch);
  if (given == nullptr && !own.empty()) options.replay = &own;
  options.skip = true;
  walks.skipping = run_kept(walk, walks.program, batch, options);
  return walks;
}

// A step of both walks: the rows that have not halted are there and no others, and they carry and
// show the same. Names the first thing that differs; empty if nothing does.
inline std::string compare_step(const DepthWalk& walk, const Walks& walks, size_t i,
                                double tolerance) {
  const StepRecord &dense = walks.dense.steps[i], &skip = walks.skipping.steps[i];
  const Tensor index_R = skip.rows->source();
  Tensor left_R = dense.rows->source();
  if (dense.done_R.defined()) left_R = dense.done_R.logical_not().nonzero().squeeze(1);
  if (skip.rows->count() != left_R.size(0) || !at::equal(index_R, left_R)) return "rows";
  const auto differs = [&](const Tensor& whole, const Tensor& part) {
    if (whole.defined() != part.defined()) return true;
    return whole.defined() && relative_gap(whole.index_select(0, index_R), part) > tolerance;
  };
  const Carry &at_dense = walks.dense.door(i), &at_skip = walks.skipping.door(i);
  if (differs(at_dense.r_RC, at_skip.r_RC)) return "carried state";
  if (differs(at_dense.y_RC, at_skip.y_RC)) return "carried delta";
  if (at_dense.x0_RC.size() != at_skip.x0_RC.size()) return "open loops";
  for (size_t k = 0; k < at_dense.x0_RC.size(); ++k)
    if (differs(at_dense.x0_RC[k], at_skip.x0_RC[k])) return "a loop's x0";
  if (dense.readout != skip.readout || dense.layer != skip.layer) return "readout";
  if (dense.readout < 0) return "";
  const LinearParams& head = walk.params().head.at(walks.program.steps[i].layer.readout->head);
  const auto logits = [&](const Tensor& h_RC) { return linear(h_RC, head.weight, head.bias); };
  const Tensor &h_dense = walks.dense.h(dense), &h_skip = walks.skipping.h(skip);
  const Reading &a = dense.reading, &b = skip.reading;
  if (differs(h_dense, h_skip)) return "state";
  if (differs(logits(h_dense), logits(h_skip))) return "logits";
  if (differs(a.ln_p_R, b.ln_p_R)) return "ln_p";
  if (differs(a.ln_max_R, b.ln_max_R)) return "ln_max";
  if (differs(a.ln_p_confidence_R, b.ln_p_confidence_R)) return "ln_p_confidence";
  if (differs(a.ln_max_confidence_R, b.ln_max_confidence_R)) return "ln_max_confidence";
  if (differs(a.prediction_R, b.prediction_R)) return "prediction";
  if (differs(dense.decision.score_R, skip.decision.score_R)) return "score";
  return differs(dense.decision.halts_R, skip.decision.halts_R) ? "decision" : "";
}

// All steps of both; a skipping walk is shorter only when every row has left.
inline std::string compare(const DepthWalk& walk, const Walks& walks, double tolerance) {
  for (size_t i = 0; i < walks.skipping.steps.size(); ++i) {
    const std::string what = compare_step(walk, walks, i, tolerance);
    if (!what.empty()) return fmt::format("{}, step {}", what, i);
  }
  const int64_t left = walks.skipping.end.r_RC.size(0);
  if (walks.skipping.steps.size() < walks.dense.steps.size() && left > 0) return "it ended early";
  return "";
}

// Decisions of any kind: uneven lengths, sequences that leave as a whole, all that leaves at once.
inline Decisions any_decisions(const Batch& batch, const DepthProgram& program) {
  const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1);
  Decisions decisions;
  for (const StepSpec& step : program.steps) {
    if (!step.layer.readout) continue;
    const Tensor halts_BT = at::full({B, T}, false, at::TensorOptions(at::kBool));
    for (int64_t b = 0; b < B; ++b) {
      const int kind = *rc::gen::inRange(0, 6);  // 0: nothing halts, 1: all, else some
      for (int64_t t = 0; t < T; ++t)
        halts_BT.data_ptr<bool>()[b * T + t] =
            kind == 1 || (kind > 1 && *rc::gen::inRange(0, kind) == 0);
    }
    if (*rc::gen::inRange(0, 8) == 0) halts_BT.fill_(true);
    // What is not there halts nowhere.
    if (batch.valid_BT.defined()) halts_BT.logical_and_(batch.valid_BT);
    decisions.push_back(halts_BT);
  }
  return decisions;
}

}  // namespace fathom::property
