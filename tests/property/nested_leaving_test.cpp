// A row that has left an outer loop is computed on while a later one sees its keys, and is taken
// out in the middle of an inner loop where that one halts: it comes back behind the outer one.
#include <gtest/gtest.h>

#include "property/walks.h"
#include "spec/plans.h"

namespace fathom::property {
namespace {

TEST(SeenKeys, OfAnOuterLoopMayEndWithinAnInnerOne) {
  set_threads(1);
  const at::NoGradGuard no_grad;
  const PlanNode inner = {testing::loop_of({{testing::with_readout(testing::block(1, 8), 0)}})};
  DepthPlan plan = testing::plan_of({{testing::loop_of({{testing::block(0, 8)}, inner})},
                                     {testing::with_readout(testing::block(2, 8), 1)}});
  BackboneConfig backbone;
  backbone.n_head = kHeads, backbone.n_embd = 8, backbone.block_size = kBlock;
  plan.tied_heads = backbone.tie_head = false;
  const ParameterSet own(parameter_table(plan, backbone, kVocab), 1, at::kCPU, at::kDouble);
  const DepthWalk walk(plan, backbone, bind(own, plan));
  Policy policy = testing::loops({3, 2});
  policy.halting.config.rule = HaltRule::kMax;
  policy.halting.keys = KeyFate::kSeen;
  policy.loops[0].halting.config.rule = HaltRule::kLatentChange;
  policy.loops[0].halting.keys = KeyFate::kSeen;
  const DepthProgram program = unroll(plan, policy);

  const auto nobody = [](int count) {
    Decisions decisions;
    for (int i = 0; i < count; ++i)
      decisions.push_back(at::full({1, 2}, false, at::TensorOptions(at::kBool)));
    return decisions;
  };
  Decisions ends = nobody(program.loop_ends),
            readouts = nobody(static_cast<int>(program.steps.size()));
  bool left = false, halted = false;
  for (const StepSpec& step : program.steps) {
    // The first row leaves the outer loop after its first iteration,
    for (const LoopEnd& end : step.ends)
      if (end.place.group == 0 && end.place.iteration == 0)
        left = ends.at(size_t(end.number)).data_ptr<bool>()[0] = true;
    // the second one halts in the next, where the inner loop has begun.
    if (step.readout >= 0 && step.path.size() == 2 && step.path[0].iteration == 1 &&
        step.path[1].iteration == 0)
      halted = readouts.at(size_t(step.readout)).data_ptr<bool>()[1] = true;
  }
  ASSERT_TRUE(left && halted);
  WalkOptions options = walk_options(/*training=*/false);
  options.replay_loops = &ends, options.replay = &readouts;
  const Batch batch = text_batch(1, 2, 1);
  const Trace dense = walk.run(program, batch, options);
  options.skip = true;
  const Trace skipping = walk.run(program, batch, options);
  std::vector<int64_t> computed;
  for (const StepRecord& r : skipping.steps) computed.push_back(r.computed);
  EXPECT_EQ(computed, (std::vector<int64_t>{2, 2, 2, 2, 2, 0, 0, 0, 0, 1}));
  ASSERT_EQ(skipping.end.r_RC.size(0), 1);
  EXPECT_LE(gap(skipping.end.r_RC[0], dense.end.r_RC[0]), 1e-12);
}

}  // namespace
}  // namespace fathom::property
