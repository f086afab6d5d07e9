// What a walk shows of itself, to whoever looks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <memory>

#include "model/corridor_program.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// "step name" of everything, in order.
struct Listing {
  std::vector<std::string> seen;
  Observer observer() {
    Observer observer;
    observer.see = [this](const Sight& s) {
      seen.push_back(fmt::format("{} {}", s.step.index, s.name));
      EXPECT_EQ(s.x.size(0), s.rows.count());
      EXPECT_LE(s.rows.count(), s.state.rows->count());
    };
    return observer;
  }
};

TEST(Observer, SeesWhatPassesThroughEveryStep) {
  const auto model = corridor_model({}, {2, 0, true, 0.0});
  Listing listing;
  WalkOptions options = corridor_options();
  options.observe = listing.observer();
  model->walk().run(model->program(), corridor_batch(), options);
  EXPECT_THAT(listing.seen, ElementsAre("0 door", "0 n", "0 a", "0 r", "0 m", "0 r", "0 head",  //
                                        "1 door", "1 n", "1 a", "1 t", "1 m", "1 g", "1 r",     //
                                        "1 iteration.0",                                        //
                                        "2 door", "2 n", "2 a", "2 t", "2 m", "2 g", "2 r",     //
                                        "2 iteration.0",                                        //
                                        "3 door", "3 n", "3 a", "3 r", "3 m", "3 r", "3 head",  //
                                        "4 door", "4 n", "4 a", "4 m", "4 y", "4 r", "4 head"));
}

TEST(Observer, SeesTheValuesThemselves) {
  const auto model = corridor_model({});
  Kept kept = {"door", "n", "a", "y", "r", "head"};
  WalkOptions options = corridor_options();
  options.observe = kept.observer();
  const Trace trace = model->walk().run(model->program(), corridor_batch(), options);
  const int last = int(trace.steps.size()) - 1;
  // Of the last step: y = A(n + y) M(n); r = r + y / 2.
  EXPECT_TRUE(same_bits(kept.at(last, "r"), trace.end.r_RC));
  EXPECT_TRUE(same_bits(kept.at(last, "y"), trace.end.y_RC));
  EXPECT_LE(max_difference(kept.at(last, "r"),
                           kept.door(last)->travel.carry.r_RC + 0.5 * kept.at(last, "y")),
            1e-14);
  // Its head is given the norm that its block begins with, of another state.
  const NormParams& norm = model->walk().params().norm({NormId::kIn, 2});
  const auto normed = [&](const Tensor& x) {
    return at::layer_norm(x, {kWidth}, norm.weight, norm.bias);
  };
  EXPECT_LE(max_difference(kept.at(last, "n"), normed(kept.at(last, "door"))), 1e-12);
  EXPECT_LE(max_difference(kept.head(last), normed(trace.end.r_RC)), 1e-12);
  // Nobody looked for these, or nothing is there.
  EXPECT_FALSE(kept.at(last, "m").defined());
  EXPECT_FALSE(kept.at(0, "y").defined());
  EXPECT_FALSE(kept.at(1, "head").defined());
  EXPECT_FALSE(kept.at(99, "r").defined());
  EXPECT_EQ(Kept().door(0), nullptr);
  // They are in the walk's graph.
  backward(kept.at(1, "a").sum());
  EXPECT_TRUE(model->parameters().at("attention.1.out.weight").grad().defined());
  EXPECT_FALSE(model->parameters().at("attention.2.out.weight").grad().defined());
}

TEST(Observer, SeesBlocksThatAreComputedAgainOnce) {
  const auto model = corridor_model({});
  Listing whole, again;
  WalkOptions options = corridor_options();
  options.observe = whole.observer();
  model->walk().run(model->program(), corridor_batch(), options);
  options.recompute_blocks = true;
  options.observe = again.observer();
  const Trace trace = model->walk().run(model->program(), corridor_batch(), options);
  backward(trace.end.r_RC.sum());
  EXPECT_EQ(again.seen, whole.seen);
}

TEST(Observer, SeesTheRowsThatAreThere) {
  const auto model = corridor_model({});
  Kept kept = {"door", "a", "head"};
  WalkOptions options = corridor_options();
  options.skip = true;
  options.observe = kept.observer();
  const Trace trace = model->walk().run(model->program(), corridor_batch(), options);
  EXPECT_LT(trace.steps.back().rows->count(), trace.steps.front().rows->count());
  for (const StepRecord& r : trace.steps) {
    EXPECT_EQ(kept.at(r.step, "a").size(0), r.rows->count());
    EXPECT_EQ(kept.door(r.step)->rows->count(), r.rows->count());
  }
}

// What is remembered goes when its walk and its graph do, whoever computes blocks again.
TEST(Observer, IsNotKeptByTheGraph) {
  const auto model = corridor_model({});
  const auto alive = std::make_shared<int>(0);
  for (const bool again : {false, true}) {
    {
      WalkOptions options = corridor_options();
      options.recompute_blocks = again;
      Kept kept = {"head", "door"};
      options.observe.see = [alive, keep = kept.observer()](const Sight& s) { keep.see(s); };
      const Trace trace = model->walk().run(model->program(), corridor_batch(), options);
      backward(kept.head(int(trace.steps.size()) - 1).sum());
    }
    EXPECT_EQ(alive.use_count(), 1) << again;
  }
}

// Rows that stand still are there for their keys: what these are made of is not shown.
TEST(Observer, SeesNothingOfRowsThatStandStill) {
  LayerSpec layer = with_readout(block(0, kWidth), 0), next = with_readout(block(1, kWidth), 1);
  layer.norm = next.norm = {};
  DepthPlan plan = plan_of({{layer}, {next}});
  using namespace wire;
  plan.wirings = {{{{"t", mlp(name("n"))}, {"r", name("r") + attention(name("t"))}}}};
  Policy policy;
  policy.halting.config.rule = HaltRule::kMax;
  policy.halting.keys = KeyFate::kFrozen;
  const auto model = model_of_plan(plan, policy, {});
  const at::NoGradGuard no_grad;
  Listing listing;
  Kept kept = {"m", "r"};
  WalkOptions options = corridor_options();
  options.skip = true;
  Tensor halts_BT = at::zeros({kSequences, kLength}, at::TensorOptions(at::kBool));
  halts_BT.select(1, 1).fill_(true);
  const std::vector<Tensor> decisions = {halts_BT, halts_BT};
  options.replay = &decisions;
  options.observe.see = [list = listing.observer(), keep = kept.observer()](const Sight& s) {
    list.see(s);
    keep.see(s);
  };
  const Trace trace = model->walk().run(model->program(), corridor_batch(), options);
  EXPECT_EQ(trace.steps[1].computed, 8);
  EXPECT_EQ(trace.steps[1].keys_only, 2);
  EXPECT_EQ(kept.all(1, "m").size(), 1U);
  EXPECT_EQ(kept.at(1, "m").size(0), 8);
}

// Of a name that a block has several times, each.
TEST(Observer, SeesEveryAssignment) {
  const auto model = corridor_model({});
  const Kept kept = {"r"};
  WalkOptions options = corridor_options();
  options.observe = kept.observer();
  const Trace trace = model->walk().run(model->program(), corridor_batch(), options);
  ASSERT_EQ(kept.all(0, "r").size(), 2U);
  EXPECT_FALSE(same_bits(kept.all(0, "r")[0], kept.all(0, "r")[1]));
  EXPECT_TRUE(same_bits(kept.all(0, "r")[1], kept.at(0, "r")));
  EXPECT_TRUE(kept.has_seen("r"));
  EXPECT_FALSE(kept.has_seen("a"));
}

// An experiment's function shows what it likes.
TEST(Observer, SeesWhatAFunctionRecords) {
  ModelConfig config;
  config.backbone = corridor_backbone();
  DepthPlan plan = plan_of({{with_readout(block(0, kWidth), 0)}});
  using namespace wire;
  plan.wirings = {{{{"r", name("r") + function("twice", {name("n")})}}}};
  each_layer(plan, [](LayerSpec& layer) {
    layer.attention.clear(), layer.mlp.clear(), layer.norm.clear();
  });
  const ParameterSet own(parameter_table(plan, config.backbone, kVocab), 5, at::kCPU, at::kDouble);
  const DepthWalk walk(plan, config.backbone, bind(own, plan),
                       {{"twice", [](const FunctionCall& call) {
                           call.record("width", call.args[0].mean(-1, true));
                           return 2 * call.args[0];
                         }}});
  Listing listing;
  Kept kept = {"F.twice.width"};
  WalkOptions options;
  walk.run(unroll(plan), corridor_batch(), options);  // nobody looks
  options.observe.see = [list = listing.observer(), keep = kept.observer()](const Sight& s) {
    list.see(s);
    keep.see(s);
  };
  walk.run(unroll(plan), corridor_batch(), options);
  EXPECT_THAT(listing.seen, ElementsAre("0 door", "0 n", "0 F.twice.width", "0 r", "0 head"));
  EXPECT_EQ(kept.at(0, "F.twice.width").sizes(), (at::IntArrayRef{kSequences * kLength, 1}));
}

}  // namespace
}  // namespace fathom::testing
