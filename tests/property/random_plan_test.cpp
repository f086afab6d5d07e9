// The rules of the corridor over plans of any structure.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "property/random_plan.h"
#include "property/seen.h"
#include "property/walks.h"

namespace fathom::property {
namespace {

const std::string kRandomPlanNothing;

// Infinite where something is not a number: loops in loops may let a stream grow until single
// precision ends, and that is no leak.
double largest(const Seen& seen) {
  double most = 0;
  for (const auto& [name, x] : seen)
    for (const double v : numbers(x))
      most = std::max(most, std::isfinite(v) ? std::abs(v) : HUGE_VAL);
  return most;
}

RC_GTEST_PROP(RandomPlans, NothingBeforeATokenDependsOnIt, ()) {
  set_threads(1);
  const RandomModel model(at::kFloat);
  const Batch batch = any_batch();
  const WalkOptions options = walk_options(*rc::gen::arbitrary<bool>());
  const auto see = [&](const Batch& b) { return look(model.walk, model.program, b, options); };
  RC_PRE(largest(see(batch)) < 1e15);
  RC_ASSERT(leak(see, batch) == kRandomPlanNothing);
}

RC_GTEST_PROP(RandomPlans, MaskAndSkipAreOneRule, ()) {
  set_threads(1);
  const RandomModel model(at::kDouble);
  RC_PRE(model.random.policy.halting.history == MaskHistory::kCumulative);
  const Batch batch = any_batch();
  RC_PRE(stays_moderate(model.walk, model.program, batch));
  const Decisions decisions = any_decisions(batch, model.program);
  const bool training = *rc::gen::arbitrary<bool>();
  const Walks walks = both(model.walk, model.program, batch, training, &decisions);
  RC_ASSERT(compare(model.walk, walks, 1e-10) == kRandomPlanNothing);
}

RC_GTEST_PROP(RandomPlans, SequencesDoNotSeeEachOther, ()) {
  set_threads(1);
  const RandomModel model(at::kDouble);
  const Batch batch = any_batch();
  RC_PRE(stays_moderate(model.walk, model.program, batch));
  WalkOptions options = walk_options(*rc::gen::arbitrary<bool>());
  const Decisions decisions = any_decisions(batch, model.program);
  options.replay = &decisions;
  const Seen together = look(model.walk, model.program, batch, options);
  const int64_t b = any(0, batch.tokens_BT.size(0) - 1);
  Decisions own;
  for (const Tensor& x : decisions) own.push_back(x.narrow(0, b, 1).contiguous());
  options.replay = &own;
  options.random = RandomField(5, 1, b);
  const Seen alone = look(model.walk, model.program, sequences(batch, b, 1), options);
  const Difference d = difference(
      together, [&](const Tensor& x) { return x.narrow(0, b, 1); }, alone,
      [](const Tensor& x) { return x; });
  RC_LOG() << d << "\n";
  RC_ASSERT(d.largest <= 1e-12);
}

// Steps run once more from where they began carry the same, to the bit.
RC_GTEST_PROP(RandomPlans, ASegmentRepeatsTheWalk, ()) {
  set_threads(1);
  const at::NoGradGuard no_grad;
  const RandomModel model(at::kFloat);
  const Batch batch = any_batch();
  RC_PRE(stays_moderate(model.walk, model.program, batch));
  const WalkOptions options = walk_options(*rc::gen::arbitrary<bool>());
  const KeptTrace trace = run_kept(model.walk, model.program, batch, options);
  const auto steps = int64_t(trace.steps.size());
  const auto first = any(0, steps - 1), last = any(first + 1, steps);
  const Carry& start = trace.door(size_t(first));
  const Carry again =
      walk_again(model.walk, model.program, trace, {size_t(first), size_t(last)}, start, options);
  const Carry& once = after(trace, size_t(last) - 1);
  RC_ASSERT(same_bits(once.r_RC, again.r_RC));
  RC_ASSERT(once.y_RC.defined() == again.y_RC.defined());
  RC_ASSERT((!once.y_RC.defined() || same_bits(once.y_RC, again.y_RC)));
  RC_ASSERT(once.x0_RC.size() == again.x0_RC.size());
  for (size_t k = 0; k < once.x0_RC.size(); ++k)
    RC_ASSERT(same_bits(once.x0_RC[k], again.x0_RC[k]));
}

// With the decisions held fixed, of the summed log probabilities.
RC_GTEST_PROP(RandomPlans, GradientsAgreeWithDifferences, ()) {
  set_threads(1);
  const RandomModel model(at::kDouble);
  RC_PRE(!model.random.cuts);
  const Batch batch = any_batch();
  RC_PRE(stays_moderate(model.walk, model.program, batch));
  const Decisions decisions = any_decisions(batch, model.program);
  WalkOptions options = walk_options(*rc::gen::arbitrary<bool>());
  options.replay = &decisions;
  options.recompute_blocks = *rc::gen::arbitrary<bool>();
  const auto f = [&] {
    Tensor sum = at::full({}, 0.0, at::TensorOptions(at::kDouble));
    const Trace trace = model.walk.run(model.program, batch, options);
    for (const StepRecord* r : trace.readouts()) sum = sum + r->reading.ln_p_R.mean();
    return sum;
  };
  backward(f());
  const Slope slope = slope_of(f, model.parameters.all(), 7);
  RC_LOG() << slope.gradient << " and " << slope.difference << "\n";
  RC_ASSERT(slope.agrees());
}

}  // namespace
}  // namespace fathom::property
