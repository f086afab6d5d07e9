// Walks of looped models as their analyses see them, against recurrences by hand.
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_svdvals.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "errors.h"
#include "fathom/study/loop_exits.h"
#include "fathom/study/loop_jacobian.h"
#include "fathom/study/loop_trajectories.h"
#include "fathom/study/loops/krylov.h"
#include "model/corridor_program.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<int64_t> kLoopText = {3, 1, 4, 1, 5};

// A loop that computes nothing but 1.5 times its input, A [x0; x] + a, and a layer that answers.
std::unique_ptr<DepthModel> linear_toy(double of_state = 1) {
  using namespace wire;
  LayerSpec inside = block(0, kWidth);
  inside.attention = {};
  inside.mlp = {};
  inside.norm = {};
  inside.norm_in.kind = NormSpec::kNone;
  LayerSpec last = with_readout(inside, 0);
  last.wiring = 1;
  DepthPlan plan = plan_of({{loop_of({{inside}}, 0)}, {last}});
  plan.wirings = {{{{"r", number(1.5) * name("r")}}}, {{{"r", name("n")}}}};
  auto model = model_of_plan(plan, loops({3}), {});
  const at::NoGradGuard no_grad;
  Tensor(model->parameters().at("adapter.0.weight")).narrow(1, kWidth, kWidth).mul_(of_state);
  return model;
}

// 1.5 times the state's half of A.
Tensor toy_matrix(const DepthModel& model) {
  return 1.5 * model.parameters().at("adapter.0.weight").detach().narrow(1, kWidth, kWidth);
}

DenseMatrix loop_matrix(const Tensor& a) {
  DenseMatrix out(size_t(a.size(0)), size_t(a.size(1)));
  out.values = numbers(a);
  return out;
}

Tensor tensor_of(const DenseMatrix& x) {
  return testing::tensor_of(x.values, {int64_t(x.rows), int64_t(x.columns)});
}

TEST(LoopStates, FollowTheRecurrence) {
  const auto model = linear_toy();
  const LoopWalk walk(*model);
  EXPECT_THAT(walk.groups(), ElementsAre("layer 0"));
  const LoopTrack track = walk.run(walk.program(4), kLoopText);
  const TextLoops text = loops_of_text(walk, track);
  ASSERT_EQ(text.groups.size(), 1U);
  const std::vector<DenseMatrix>& states = text.groups[0].states;
  ASSERT_EQ(states.size(), 5U);
  const at::NoGradGuard no_grad;
  const Tensor weight = model->parameters().at("adapter.0.weight");
  const Tensor bias = model->parameters().at("adapter.0.bias");
  const Tensor x0 = tensor_of(states[0]);
  const Tensor embedded = model->parameters()
                              .at("token_table.0.weight")
                              .index_select(0, index_tensor(kLoopText, at::kCPU)) +
                          model->parameters().at("position_table.weight");
  EXPECT_LT(max_difference(x0, embedded), 1e-14);
  Tensor x = x0;  // an adapter's first state is what entered
  for (size_t k = 1; k < 5; ++k) {
    const Tensor before = x;
    x = 1.5 * (at::cat({x0, x}, 1).matmul(weight.t()) + bias);
    EXPECT_LT(max_difference(tensor_of(states[k]), x), 1e-12 * (1 + x.abs().max().item<double>()));
    const Tensor p = walk.ln_p(x), q = walk.ln_p(k == 1 ? x0 : before);
    EXPECT_NEAR(text.groups[0].convergence.drift[k - 1],
                (p.exp() * (p - q)).sum().item<double>() / double(kLoopText.size()), 1e-10);
  }
  // Embedding, four iterations and the last layer, which changes nothing.
  EXPECT_EQ(text.global.change.size(), 5U);
  ASSERT_EQ(text.walk.size(), 5U);
  for (size_t k = 0; k < 4; ++k) EXPECT_THAT(text.walk[k].iterations, ElementsAre(k + 1));
  EXPECT_EQ(text.walk[3].layer, 0);
  EXPECT_EQ(text.walk[4].layer, 1);
  EXPECT_TRUE(text.walk[4].iterations.empty());
  EXPECT_NEAR(text.global.change.back(), 0, 1e-14);
  EXPECT_NEAR(text.global.drift.back(), 0, 1e-14) << "the same state twice";
}

TEST(LoopStates, OfTheWholeCorridorAreWhatItsStepsGive) {
  const auto model = corridor_model({}, {3, 0, true, 0});
  const LoopWalk walk(*model);
  const LoopTrack track = walk.run(walk.program(3), kLoopText);
  Batch batch;
  batch.tokens_BT = index_tensor(kLoopText, at::kCPU).unsqueeze(0);
  const at::NoGradGuard no_grad;
  const KeptTrace trace = run_kept(model->walk(), track.program, batch, {});
  ASSERT_EQ(track.after_RC.size(), 6U);
  for (size_t i = 0; i + 1 < 6; ++i)
    EXPECT_LT(max_difference(track.after_RC[i], trace.door(i + 1).r_RC), 1e-14);
  EXPECT_LT(max_difference(track.after_RC[5], trace.end.r_RC), 1e-14);
  EXPECT_LT(max_difference(walk.ln_p(track.after_RC[5]).exp().sum(-1),
                           walk.ln_p(track.after_RC[0]).exp().sum(-1)),
            1e-12);
}

TEST(LoopStates, OfAModelWithoutLoopsAreNone) {
  const auto model = model_of(untied_config(), 7);
  EXPECT_THAT(caught([&] { LoopWalk(depth(*model)); }).what(), HasSubstr("no loops"));
}

TEST(LoopJacobian, OfALinearLoopIsItsMatrix) {
  const auto model = linear_toy();
  const LoopWalk walk(*model);
  const LoopTrack track = walk.run(walk.program(4), kLoopText);
  const Tensor a = toy_matrix(*model);
  const double radius = spectral_radius(loop_matrix(a));
  const double norm = at::linalg_svdvals(a).max().item<double>();
  for (const int64_t k : {1, 3}) {
    const LoopJacobian j = jacobian_of(walk, track, 0, k, 2);
    EXPECT_NEAR(j.spectral_radius, radius, 1e-7 * radius) << k;
    EXPECT_NEAR(j.operator_norm, norm, 1e-7 * norm) << k;
  }
  JacobianOptions alone;
  alone.block_only = true;
  const LoopJacobian j = jacobian_of(walk, track, 0, 1, 2, alone);
  EXPECT_NEAR(j.spectral_radius, 1.5, 1e-9);
  EXPECT_NEAR(j.operator_norm, 1.5, 1e-7);
  EXPECT_THAT(error_of([&] { jacobian_of(walk, track, 0, 0, 2); }), HasSubstr("no iteration 0"));
  EXPECT_THAT(error_of([&] { jacobian_of(walk, track, 0, 1, 5); }), HasSubstr("no token 5"));
}

// Of attention, gates and products: the whole matrix by differences of whole walks.
TEST(LoopJacobian, OfACorridorsLoopIsThatOfDifferences) {
  const auto model = corridor_model({}, {3, 0, true, 0});
  const LoopWalk walk(*model);
  const LoopTrack track = walk.run(walk.program(3), kLoopText);
  const at::NoGradGuard no_grad;
  const int64_t t = 3;
  const size_t first = 2;  // the step of iteration 1
  const auto after = [&](int64_t channel, double h) {
    WalkState state = *track.doors[first];
    Tensor r = state.travel.carry.r_RC.clone();
    r.data_ptr<double>()[t * kWidth + channel] += h;
    state.travel.carry.r_RC = r;
    walk.advance(track.program, state, first + 1, 0);
    return state.travel.carry.r_RC[t].clone();
  };
  DenseMatrix j(kWidth, kWidth);
  for (int64_t c = 0; c < kWidth; ++c) {
    const double h = 1e-4;
    const std::vector<double> d = numbers(
        (8 * (after(c, h) - after(c, -h)) - (after(c, 2 * h) - after(c, -2 * h))) / (12 * h));
    for (size_t i = 0; i < d.size(); ++i) j.at(i, size_t(c)) = d[i];
  }
  const LoopJacobian found = jacobian_of(walk, track, 0, 1, size_t(t));
  const double radius = spectral_radius(j);
  const double norm = at::linalg_svdvals(tensor_of(j)).max().item<double>();
  EXPECT_NEAR(found.spectral_radius, radius, 1e-5 * (1 + radius));
  EXPECT_NEAR(found.operator_norm, norm, 1e-6 * norm);
}

TEST(KlDrift, OfTheSameAnswersIsZero) {
  const Tensor p = random_normal({4, 7}, 1).log_softmax(-1);
  const Tensor q = random_normal({4, 7}, 2).log_softmax(-1);
  EXPECT_EQ(kl_drift(p, p), 0);
  EXPECT_GT(kl_drift(p, q), 0);
}

TEST(PathIndependence, AContractingLoopForgetsWhereItBegan) {
  const auto model = linear_toy(/*of_state=*/0.1);
  Policy noisy = loops({3});
  noisy.loops[0].noise = 0.5;
  const LoopWalk walk(*model, noisy);
  const LoopSpread quiet = spread_of(LoopWalk(*model), kLoopText, 3, 3);
  EXPECT_NEAR(quiet.state, 0, 1e-14);
  EXPECT_NEAR(quiet.kl, 0, 1e-15);
  const LoopSpread early = spread_of(walk, kLoopText, 2, 3);
  const LoopSpread late = spread_of(walk, kLoopText, 12, 3);
  EXPECT_GT(early.state, 0);
  EXPECT_GT(early.scores, 0);
  EXPECT_LT(late.state, 1e-2 * early.state);
  EXPECT_LT(late.scores, 1e-2 * early.scores);
  EXPECT_THAT(error_of([&] { spread_of(walk, kLoopText, 2, 1); }), HasSubstr("1 draws"));
}

// With a cache, a token at a time, the loss is that of a whole pass.
TEST(TokenByToken, AnswersAsAWholePassDoes) {
  const auto model = corridor_model({});
  Policy policy = with_loop_counts(model->walk().plan(), corridor_policy(), 4);
  policy.halting = {};
  const LoopExit exit = score_token_by_token(*model, policy, {kLoopText}, 2);
  ASSERT_EQ(exit.loss.size(), 2U);
  for (uint64_t seed = 0; seed < 2; ++seed) {
    Batch batch;
    const Tensor tokens = index_tensor(kLoopText, at::kCPU);
    batch.tokens_BT = tokens.narrow(0, 0, 4).unsqueeze(0);
    batch.targets_BT = tokens.narrow(0, 1, 4).unsqueeze(0);
    Pass pass;
    pass.random = RandomField(seed, 0, 0);
    pass.policy = &policy;
    const at::NoGradGuard no_grad;
    const LossPart loss = model->forward(batch, pass).loss;
    EXPECT_NEAR(exit.loss[seed], loss.sum.item<double>() / loss.count, 1e-9);
  }
  EXPECT_NE(exit.loss[0], exit.loss[1]) << "the loop begins with noise";
  // What a second token of context takes away is the first target's.
  const double first = 4 * score_token_by_token(*model, policy, {kLoopText}, 1).loss[0] -
                       3 * score_token_by_token(*model, policy, {kLoopText}, 1, 2).loss[0];
  EXPECT_NEAR(first, score_token_by_token(*model, policy, {{3, 1}}, 1).loss[0], 1e-9);
  EXPECT_THAT(error_of([&] {
                score_token_by_token(*model, policy, {{3, 1}}, 1, 2);
              }),
              HasSubstr("2 tokens"));
  EXPECT_DOUBLE_EQ(exit.iterations, 4);
  EXPECT_DOUBLE_EQ(exit.blocks, 1);
  EXPECT_GT(exit.milliseconds, 0);
}

TEST(LoopCounts, AreThePolicysForEverybody) {
  const DepthPlan plan = corridor_plan();
  Policy policy = corridor_policy();
  policy.loops[0].counts = {1, 2};
  policy.loops[0].halting.config.rule = HaltRule::kMax;
  const Policy fixed = with_loop_counts(plan, policy, 9);
  EXPECT_EQ(fixed.loops[0].count, 9);
  EXPECT_TRUE(fixed.loops[0].counts.empty());
  EXPECT_FALSE(fixed.loops[0].halting.halts());
  EXPECT_EQ(fixed.loops[0].noise, kNoise) << "what else it says stays";
  EXPECT_EQ(with_loop_counts(plan, {}, 2).loops.size(), 1U);
}

TEST(LoopCounts, GroupsHoldTheirLayers) {
  const DepthPlan nested =
      plan_of({{block(0, kWidth)},
               {loop_of({{block(1, kWidth)}, {loop_of({{block(2, kWidth)}})}})},
               {loop_of({{block(3, kWidth)}, {block(4, kWidth)}})}});
  EXPECT_THAT(loop_group_names(nested), ElementsAre("layers 1-2", "layer 2", "layers 3-4"));
  EXPECT_EQ(caught([] { require_loops(plan_of({{block(0, kWidth)}}), "it"); }).kind(),
            ErrorKind::kUsage);
}

}  // namespace
}  // namespace fathom::testing
