// Frozen and finite judges where a walk is not a plain stack: steps without a readout, loops that
// end it, and steps without a graph.
#include <gtest/gtest.h>

#include "model/corridor_program.h"
#include "model/spelled_terms.h"

namespace fathom::testing {
namespace {

using Term = SpelledTerm;

Term judged_by(Term::Judge judge, std::vector<double> weights) {
  Term term = spelled_term(std::move(weights));
  term.judge = judge;
  return term;
}

double sum_of(const DepthModel& model, const Batch& batch) {
  return model.forward(batch, corridor_pass()).losses.at(0).sum.item<double>();
}

// -ln p of the targets in a carry, summed as a term does it.
double sum_of(const Reading& reading, const Batch& batch) {
  const Tensor has_target = batch.targets_BT.reshape({-1}).ge(0);
  const Tensor weight_R = batch.weight_BT.reshape({-1}).masked_fill(has_target.logical_not(), 0);
  return (-reading.ln_p_R * weight_R).sum().item<double>();
}

ReadoutRequest targets_of(const Batch& batch) {
  ReadoutRequest request;
  request.ids_R = batch.targets_BT.reshape({-1});
  return request;
}

TEST(NextFrozen, AsksTheNextStepThatReadsOut) {
  const DepthPlan plan = plan_of({{with_readout(block(0, kWidth), 0)},
                                  {block(1, kWidth)},
                                  {with_readout(block(2, kWidth), 2)}});
  const Batch batch = corridor_batch();
  const auto next = model_of_plan(plan, {}, {judged_by(Term::kNextFrozen, {1, 0, 0})});
  const auto own = model_of_plan(plan, {}, {spelled_term({0, 0, 1})});
  EXPECT_NEAR(sum_of(*next, batch), sum_of(*own, batch), 1e-12);
  backward(next->forward(batch, corridor_pass()).losses.at(0).sum);
  for (const Parameter& p : next->parameters().all()) {
    const bool before = p.spec.name.find(".0.") != std::string::npos &&
                        p.spec.name.rfind("norm_out", 0) != 0 && p.spec.name.rfind("head", 0) != 0;
    const bool stem = p.spec.name.rfind("position_table", 0) == 0;
    EXPECT_EQ(p.tensor.grad().defined(), before || stem) << p.spec.name;
  }
}

TEST(NextFrozen, AsksAStepThatEndsInALoopOnceMoreInsideIt) {
  LoopGroup loop = loop_of({{with_readout(block(1, kWidth), 1)}});
  const DepthPlan plan = plan_of({{with_readout(block(0, kWidth), 0)}, {loop}});
  const Batch batch = corridor_batch();
  const auto model = model_of_plan(plan, loops({2}), {judged_by(Term::kNextFrozen, {0, 1})});

  // Iteration 0 is judged by iteration 1, and that one by itself once more from where it ended.
  const DepthProgram program = model->program();
  const KeptTrace trace = run_kept(model->walk(), program, batch, corridor_options());
  ASSERT_EQ(trace.steps.size(), 3u);
  Carry again = trace.end;
  again.x0_RC = trace.door(2).x0_RC;
  again = walk_again(model->walk(), program, trace, {2, 3}, again, corridor_options());
  const double expected =
      sum_of(trace.steps[2].reading, batch) +
      sum_of(model->walk().read(program.steps[2], again, targets_of(batch), model->walk().params()),
             batch);
  EXPECT_NEAR(sum_of(*model, batch), expected, 1e-12);
}

// An iteration before the last backprop_depth ones teaches nothing, however far the term reaches.
TEST(Reach, DoesNotTeachStepsWithoutAGraph) {
  LoopGroup loop = loop_of({{with_readout(block(1, kWidth), 1)}});
  Policy policy = loops({3});
  policy.loops[0].backprop_depth = 1;
  const DepthPlan plan = plan_of({{loop}});
  const auto head_gradient = [&](int64_t reach) {
    Term term = spelled_term({0, 1});
    term.reach = reach;
    const auto model = model_of_plan(plan, policy, {term});
    backward(model->forward(corridor_batch(), corridor_pass()).losses.at(0).sum);
    return model->parameters().at("head.0.weight").grad().clone();
  };
  EXPECT_LT(max_difference(head_gradient(0), head_gradient(1)), 1e-12);
}

TEST(Judges, AWalkKeepsWhatTheTableNeedsAndNoMore) {
  Term frozen = spelled_term({1}), next = spelled_term({1}), reach = spelled_term({1}),
       largest = spelled_term({1});
  frozen.judge = Term::kSelfFrozen;
  next.judge = Term::kNextFrozen;
  reach.reach = 1;
  largest.signal = Term::kMax;
  for (const auto& [term, doors, max] : {std::tuple{spelled_term({1}), false, false},
                                         {frozen, true, false},
                                         {next, true, false},
                                         {reach, true, false},
                                         {largest, false, true}}) {
    Kept kept;
    const WalkOptions options = with_needs({spelled_term({1}), term}, {}, kept);
    EXPECT_EQ(kept.keeps("door"), doors);
    EXPECT_EQ(options.grad_of_max, max);
  }
}

}  // namespace
}  // namespace fathom::testing
