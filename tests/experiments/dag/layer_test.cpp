// Where the DAG is in the depth plan: behind the last block, or between two (dag_after).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "errors.h"
#include "experiments/dag/architecture_layer.h"
#include "experiments/dag/dag_config.h"
#include "fathom/model/spec/depth_program.h"

namespace fathom {
namespace {

using testing::dag_config;
using testing::DagKeys;
using ::testing::HasSubstr;
using testing::refusal_of;

std::string last_wiring(const ModelConfig& config) {
  return to_text(make_depth_plan(config).wirings.back());
}

TEST(DagPlan, IsOneMoreLayerBehindTheLastNorm) {
  const DepthPlan plain = make_depth_plan(dag_config({{"dag_depth", "0"}}));
  const DepthPlan plan = make_depth_plan(dag_config());
  ASSERT_EQ(plain.nodes.size(), 2U);
  ASSERT_EQ(plan.nodes.size(), 3U);
  const auto& before = std::get<LayerSpec>(plain.nodes.back().node);
  const auto& layer = std::get<LayerSpec>(plan.nodes.back().node);
  EXPECT_EQ(layer.norm_in, before.readout->norm);
  EXPECT_EQ(layer.readout->norm.kind, NormSpec::kNone);
  EXPECT_EQ(layer.readout->layer, before.readout->layer);
  EXPECT_EQ(layer.readout->head, before.readout->head);
  EXPECT_EQ(unroll(plan).readouts, 1);
}

TEST(DagPlan, HasTheExecutorsWiring) {
  EXPECT_EQ(last_wiring(dag_config()),
            "p = n + A(N(n)); p = p + M(N[1](p)); d = F.dag(n, N[2](p)); q = d + A[1](N[3](d)); "
            "q = q + M[1](N[4](q)); r = F.dag_fold(n, q, N[5](q))");
  EXPECT_EQ(last_wiring(dag_config({{"dag_executor", "stack"}, {"dag_mix", "gate"}})),
            "v = n + A(N(n)); v = v + M(N[1](v)); s = n + A[1](N[2](n)); s = s + M[1](N[3](s)); "
            "c = N[4](A[2](s, v, v)); d = F.dag(v, c); q = d + A[3](N[5](d)); "
            "q = q + M[2](N[6](q)); r = F.dag_fold(n, q)");
  EXPECT_EQ(
      last_wiring(dag_config(
          {{"dag_pre_block", "False"}, {"dag_post_block", "False"}, {"dag_adapter", "True"}})),
      "x = N[2](n); d = F.dag(x, N(x)); r = F.dag_fold(n, d, N[1](d))");
  EXPECT_EQ(last_wiring(dag_config({}, /*predictor=*/true)),
            "v = n + A(N(n)); v = v + M(N[1](v)); s = n + A[1](N[2](n)); s = s + M[1](N[3](s)); "
            "c = N[4](A[2](s, v, v)); r = F.dag(v, c)");
}

// Of a loop and of layers that answer too: they have the plain model's norm before the head.
TEST(DagPlan, StandsBehindLoopsAndLayersThatAnswer) {
  const DepthPlan exits = make_depth_plan(
      dag_config({{"layer_heads", "True"}, {"layer_tables", "True"}, {"halt_rule", "max"}}));
  const DepthProgram program = unroll(exits);
  ASSERT_EQ(program.readouts, 2);
  EXPECT_EQ(program.steps[0].readout, 0);
  EXPECT_EQ(program.steps[1].readout, -1);
  EXPECT_EQ(program.steps[2].readout, 1);
  const ModelConfig loops =
      dag_config({{"loop_groups", "[[0], [1]]"}, {"loop_halt_rule", "max"}, {"max_loops", "3"}});
  const DepthProgram looped = unroll(make_depth_plan(loops), make_policy(loops));
  EXPECT_EQ(looped.readouts, 1);
  for (const StepSpec& step : looped.steps)
    for (const LoopEnd& end : step.ends) EXPECT_EQ(end.readout.norm.kind, NormSpec::kLayer);
  // Trained without a rule, evaluated with one: the last block is not asked, the DAG is.
  const DepthPlan plain = make_depth_plan(dag_config());
  const DepthProgram asked = unroll(plain, make_policy(dag_config({{"halt_rule", "max"}})));
  ASSERT_EQ(asked.readouts, 2);
  EXPECT_EQ(asked.steps[0].layer.readout->norm.kind, NormSpec::kLayer);
  EXPECT_EQ(asked.steps[1].readout, -1);
}

// Who answers, and by what norm, is left alone.
TEST(DagBetween, IsOneMoreLayerWithANormOfItsOwn) {
  const DepthPlan plain = make_depth_plan(dag_config({{"n_layer", "3"}, {"dag_depth", "0"}}));
  const DepthPlan plan = make_depth_plan(dag_config({{"n_layer", "3"}, {"dag_after", "2"}}));
  ASSERT_EQ(plan.nodes.size(), 4U);
  EXPECT_EQ(&dag::dag_layer_of(plan), &std::get<LayerSpec>(plan.nodes[2].node));
  const LayerSpec& layer = dag::dag_layer_of(plan);
  EXPECT_FALSE(layer.readout);
  EXPECT_EQ(layer.norm_in.place, NormId::kMid);
  for (const NormSpec& norm : layer.norm) EXPECT_FALSE(layer.norm_in == norm);
  const auto& last = std::get<LayerSpec>(plan.nodes.back().node);
  EXPECT_EQ(last.readout->norm, std::get<LayerSpec>(plain.nodes.back().node).readout->norm);
  EXPECT_EQ(unroll(plan).readouts, 1);
  EXPECT_FALSE(plan.asked_by);
  EXPECT_EQ(to_text(plan.wirings.back()),
            "p = n + A(N(n)); p = p + M(N[1](p)); d = F.dag(n, N[2](p)); q = d + A[1](N[3](d)); "
            "q = q + M[1](N[4](q)); r = F.dag_fold(r, q, N[5](q))");
}

TEST(DagBetween, GoesRoundWithTheLoopThatItIsIn) {
  const ModelConfig config = dag_config(
      {{"n_layer", "3"}, {"dag_after", "2"}, {"loop_groups", "[[1, 2]]"}, {"loop_counts", "[3]"}});
  const DepthPlan plan = make_depth_plan(config);
  ASSERT_EQ(plan.nodes.size(), 2U);
  EXPECT_EQ(std::get<LoopGroup>(plan.nodes[1].node).body.size(), 3U);
  EXPECT_EQ(unroll(plan, make_policy(config)).steps.size(), 1U + 3 * 3);
  // Layers that answer do so as they did, and the one between them is not asked.
  const ModelConfig exits = dag_config({{"n_layer", "3"},
                                        {"dag_after", "1"},
                                        {"layer_heads", "True"},
                                        {"layer_tables", "True"},
                                        {"halt_rule", "max"}});
  const DepthProgram program = unroll(make_depth_plan(exits), make_policy(exits));
  EXPECT_EQ(program.readouts, 3);
  EXPECT_EQ(program.steps[1].readout, -1);
  const ModelConfig asked =
      dag_config({{"n_layer", "3"}, {"dag_after", "1"}, {"halt_rule", "max"}});
  EXPECT_EQ(unroll(make_depth_plan(asked), make_policy(asked)).steps[1].readout, -1);
}

// Layers that are detached learn from their own readouts, and the one between from the next one's.
TEST(DagBetween, LearnsWithTheNextLayer) {
  const DepthPlan plan = make_depth_plan(dag_config({{"n_layer", "3"},
                                                     {"dag_after", "1"},
                                                     {"layer_heads", "True"},
                                                     {"tie_head", "False"},
                                                     {"layer_supervision", "all"},
                                                     {"detach_between_layers", "True"}}));
  std::vector<bool> cut;
  each_layer(plan, [&](const LayerSpec& layer) { cut.push_back(layer.cut); });
  EXPECT_THAT(cut, ::testing::ElementsAre(false, true, false, true));
}

// Blocks that share their weights repeat; the programs among them are there once.
TEST(DagBetween, HasNoOtherNumberOfLayers) {
  for (const char* after : {"0", "2"})
    for (const char* layers : {"2", "4", "6"}) {
      const Error error = refusal_of([&] {
        make_depth_plan(dag_config(
            {{"n_layer", "4"}, {"share", "one"}, {"dag_after", after}, {"eval_layers", layers}}));
      });
      EXPECT_THAT(error.what(), HasSubstr(std::string("eval_layers = ") + layers));
    }
}

TEST(DagBetween, IsRefusedBehindWhatTheModelHasNot) {
  const auto refused = [](const DagKeys& keys) {
    return std::string(refusal_of([&] { make_depth_plan(dag_config(keys)); }).what());
  };
  for (const char* after : {"2", "3"})
    EXPECT_THAT(refused({{"dag_after", after}}), HasSubstr("the model has 2 layers"));
  EXPECT_THAT(refused({{"dag_after", "1"},
                       {"layer_widths", "[4, 8]"},
                       {"layer_heads", "True"},
                       {"tie_head", "False"}}),
              HasSubstr("that layer is 4 wide, the last one 8"));
  EXPECT_THROW(dag_config({{"dag_after", "-1"}}), Error);
}

}  // namespace
}  // namespace fathom
