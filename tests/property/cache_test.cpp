// A walk in pieces, each of which sees the earlier ones through a cache, is the whole walk: for
// plans of any structure.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "property/random_plan.h"
#include "property/token_reference.h"
#include "property/walks.h"

namespace fathom::property {
namespace {

// Where the rows of a piece that begins at `first` are among the whole batch's.
Tensor in_whole(const Rows& rows, int64_t first, int64_t piece, int64_t T) {
  const Tensor& s = rows.source();
  return s.div(piece, "floor") * T + s.remainder(piece) + first;
}

RC_GTEST_PROP(RandomPlans, APieceSeesTheEarlierOnesThroughACache, ()) {
  set_threads(1);
  const at::NoGradGuard no_grad;
  const bool single = *rc::gen::arbitrary<bool>();  // by the kernels
  const RandomModel model(single ? at::kFloat : at::kDouble);
  const Batch batch = with_positions(any_batch());
  const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1);
  RC_PRE(stays_moderate(model.walk, model.program, batch));
  const Decisions decisions = any_decisions(batch, model.program);
  WalkOptions options = walk_options(/*training=*/false);
  options.replay = &decisions;
  const KeptTrace whole = run_kept(model.walk, model.program, batch, options);

  options.skip = model.random.policy.halting.history == MaskHistory::kCumulative &&
                 *rc::gen::arbitrary<bool>();
  WalkCache cache(B, T);
  options.cache = &cache;
  for (int64_t first = 0; first < T;) {
    const int64_t count = any(1, T - first);
    Decisions own;
    for (const Tensor& x : decisions) own.push_back(x.narrow(1, first, count).contiguous());
    options.replay = &own;
    const KeptTrace trace =
        run_kept(model.walk, model.program, positions(batch, first, count), options);
    for (size_t i = 0; i < trace.steps.size(); ++i) {
      const StepRecord &piece = trace.steps[i], &all = whole.steps[i];
      const Tensor index_R = in_whole(*piece.rows, first, count, T);
      const auto same = [&](const Tensor& a, const Tensor& b) {
        return a.defined() == b.defined() &&
               (!a.defined() || a.numel() == 0 ||
                relative_gap(a, b.index_select(0, index_R)) <= (single ? 1e-3 : 1e-10));
      };
      RC_ASSERT(same(trace.door(i).r_RC, whole.door(i).r_RC));
      RC_ASSERT(same(trace.door(i).y_RC, whole.door(i).y_RC));
      RC_ASSERT(same(trace.h(piece), whole.h(all)));
      // Other rules' scores have any size, and of large scores in single precision any error.
      const Tensor& score_R = piece.decision.score_R;
      if (model.random.policy.halting.config.rule == HaltRule::kMax) {
        RC_ASSERT(same(score_R, all.decision.score_R));
      } else if (!single && score_R.numel() > 0) {
        RC_ASSERT(relative_gap(score_R, all.decision.score_R.index_select(0, index_R)) <= 1e-10);
      }
    }
    first += count;
  }
}

// Drafted and verified: rows walk to some step one at a time, and go on from there together, at any
// layer and in the middle of loops, behind what the cache has.
RC_GTEST_PROP(Cache, RowsThatStoppedAtAStepGoOnTogether, ()) {
  set_threads(1);
  const at::NoGradGuard no_grad;
  const RandomModel model(at::kDouble);
  Policy policy = model.random.policy;
  policy.halting = {};
  const DepthProgram program = unroll(model.random.plan, policy);
  const Batch batch = with_positions(any_batch());
  const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1);
  RC_PRE(stays_moderate(model.walk, program, batch));
  WalkOptions options = walk_options(/*training=*/false);
  options.read = false;
  const Trace whole = model.walk.run(program, batch, options);
  WalkCache cache(B, T);
  options.cache = &cache;
  const auto depth = int64_t(program.steps.size());
  for (int64_t first = 0; first < T;) {
    const int64_t count = any(1, T - first);
    const auto stop = size_t(any(0, depth));
    WalkState together;
    for (int64_t t = first; t < first + count; ++t) {
      const auto rows = std::make_shared<const Rows>(positions(batch, t, 1));
      WalkState one = model.walk.begin(rows, options);
      model.walk.advance(program, one, stop, {}, options, nullptr);
      if (t == first)
        together = std::move(one);
      else
        together.join(*one.rows, one.travel);
    }
    RC_ASSERT(together.rows->count() == B * count);
    model.walk.advance(program, together, size_t(depth), {}, options, nullptr);
    const Tensor r_BTC = together.travel.carry.r_RC.view({B, count, -1});
    const Tensor expected_BTC = whole.end.r_RC.view({B, T, -1}).narrow(1, first, count);
    RC_ASSERT(relative_gap(r_BTC, expected_BTC) <= 1e-10);
    first += count;
  }
}

// A walk of one token at a time whose loops' iterations share places in the cache: at a place a
// token sees what each earlier one left there last.
class SharedPlaces {
 public:
  SharedPlaces(const RandomModel& model, const DepthProgram& program, const Batch& batch, int64_t b)
      : model_(model), program_(program), batch_(batch), b_(b), random_(5, 1, b) {}

  // Tokens in their order.
  Tensor end_of(int64_t t) {
    const auto at_of = [&](const Tensor& x_BT, int64_t none) {
      return x_BT.defined() ? x_BT[b_][t].item<int64_t>() : none;
    };
    const int64_t position = at_of(batch_.position_BT, t);
    const Rows row({{batch_.tokens_BT[b_][t].item<int64_t>()}}, {position}, at::kCPU);
    TableAttention::Token token{position, at_of(batch_.segment_BT, 0), true, {}};
    if (batch_.valid_BT.defined()) token.valid = batch_.valid_BT[b_][t].item<bool>();
    const BlockSettings settings = model_.settings();
    Carry carry = inject(model_.random.plan.stem, model_.walk.params(), row, random_, settings);
    for (const StepSpec& step : program_.steps) {
      Tensor gate;
      for (size_t i = 0; i < step.layer.door.size(); ++i)
        carry = inject(step.layer.door[i], {step.layer.width, &step, int(i)}, model_.walk.params(),
                       row, std::move(carry), gate, random_, settings);
      token.context = step.layer.context;
      const Carry after = block(step, row, token, {carry.r_RC, carry.y_RC, {}});
      carry.r_RC = after.r_RC, carry.y_RC = after.y_RC;
      for (const LoopEnd& end : step.ends)
        if (end.closes) carry.x0_RC.pop_back();
    }
    return carry.r_RC;
  }

 private:
  Carry block(const StepSpec& step, const Rows& row, const TableAttention::Token& token,
              const Carry& start) {
    const Wiring& wiring = model_.random.plan.wirings[size_t(step.layer.wiring)];
    const int calls = check_wiring(wiring).attention_calls;
    for (int slot = step.cache_slot; slot < step.cache_slot + calls; ++slot) {
      std::vector<SeenKey>& keys = table_[slot];
      if (!keys.empty() && keys.back().position == token.position) keys.pop_back();
    }
    TableAttention attention(row, token, table_);
    const BlockSettings settings = model_.settings();
    const Params& params = model_.walk.params();
    const Tensor n = norm(start.r_RC, params.norm(step.layer.norm_in), settings);
    const DropoutSource no_dropout;
    const SeeValue nobody;
    const RowFunctions none;
    const OwnSettings own;
    const FunctionPass pass = {own};
    return run_block({wiring, step, params, attention, no_dropout, settings, none, pass, nobody,
                      model_.keeps_y()},
                     start, n);
  }

  const RandomModel& model_;
  const DepthProgram& program_;
  const Batch& batch_;
  int64_t b_;
  RandomField random_;  // as walk_options() has it
  KeyTable table_;
};

RC_GTEST_PROP(Cache, KeepsWhatIterationsThatShareAPlaceLeftThereLast, ()) {
  set_threads(1);
  const at::NoGradGuard no_grad;
  const RandomModel model{at::kDouble, one_in(2) ? PlanShape::kLoopInALoop : PlanShape::kAny};
  Policy policy = model.random.policy;
  policy.halting = {};
  for (LoopPolicy& loop : policy.loops) {
    loop.count = any(1, policy.loops.size() == 1 ? 8 : 3);
    loop.backprop_depth = 0;
    loop.cached_iterations = any(0, 3);
  }
  const DepthProgram program = unroll(model.random.plan, policy);
  const Batch batch = with_positions(any_batch());
  const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1);
  RC_PRE(stays_moderate(model.walk, program, batch));
  std::vector<SharedPlaces> references;
  for (int64_t b = 0; b < B; ++b) references.emplace_back(model, program, batch, b);
  WalkOptions options = walk_options(/*training=*/false);
  options.read = false;
  WalkCache cache(B, T);
  options.cache = &cache;
  for (int64_t t = 0; t < T; ++t) {
    const Trace trace = model.walk.run(program, positions(batch, t, 1), options);
    for (int64_t b = 0; b < B; ++b)
      RC_ASSERT(relative_gap(trace.end.r_RC.narrow(0, b, 1), references[size_t(b)].end_of(t)) <=
                1e-9);
  }
  RC_ASSERT(cache.keys.slots() <= program.cache_slots);
}

}  // namespace
}  // namespace fathom::property
