// What enters the stream at doors, the stem's among them.
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "fathom/train/batches.h"
#include "model/walked.h"
#include "spec/looped_model.h"

namespace fathom::testing {
namespace {

using namespace walked;

Walked with_stem(const std::vector<Injection>& stem, const std::vector<Injection>& door = {}) {
  LayerSpec layer = bare_layer();
  layer.door = door;
  DepthPlan plan = plan_with({{{"r", wire::name("n")}}}, layer);
  plan.stem.door = stem;
  return Walked(plan);
}

Injection of(Injection::Kind kind, double amount, Injection::Meeting meeting = Injection::kAdd) {
  Injection i{kind, 0};
  i.amount = amount;
  i.meeting = meeting;
  return i;
}

TEST(Stem, IsAListOfInjections) {
  const Injection tokens{Injection::kTokenTable, 0}, positions{Injection::kPositionTable, 0};
  const auto token_rows = [](const Walked& w) {
    return w.at("token_table.0.weight")
        .index_select(0, w.batch.tokens_BT.flatten())
        .view({B, T, C});
  };
  const auto rows_of = [](const Walked& w) { return w.at("position_table.weight"); };
  const auto expect_end = [](const Walked& w, const Tensor& expected) {
    EXPECT_LT(max_difference(w.end(), expected.expand({B, T, C})), 1e-14);
  };
  const Walked usual = with_stem({tokens, positions});
  expect_end(usual, token_rows(usual) + rows_of(usual));
  const Walked none = with_stem({tokens});
  expect_end(none, token_rows(none));
  const Walked turned = with_stem({positions, tokens});
  expect_end(turned, token_rows(turned) + rows_of(turned));
  const Walked times = with_stem({tokens, of(Injection::kPositionTable, 1, Injection::kMultiply)});
  expect_end(times, token_rows(times) * rows_of(times));
  const Walked by_tokens =
      with_stem({positions, of(Injection::kTokenTable, 1, Injection::kMultiply)});
  expect_end(by_tokens, token_rows(by_tokens) * rows_of(by_tokens));
  const Walked again = with_stem({tokens, positions}, {positions, of(Injection::kScale, 0.5)});
  expect_end(again, 0.5 * (token_rows(again) + 2 * rows_of(again)));
  const Walked scaled = with_stem({tokens, of(Injection::kScale, 3), positions});
  expect_end(scaled, 3 * token_rows(scaled) + rows_of(scaled));
}

TEST(Stem, MayBeNormedAndNoisy) {
  Injection norm{Injection::kNorm};
  norm.norm.kind = NormSpec::kRms;
  norm.norm.weight = false;
  const Injection tokens{Injection::kTokenTable, 0};
  const Walked normed = with_stem({tokens, norm});
  EXPECT_LT(max_difference(normed.end().square().mean(-1),
                           at::ones({B, T}, at::TensorOptions(at::kDouble))),
            1e-3);
  const Walked noisy = with_stem({tokens, of(Injection::kNoise, 0.5)}), quiet = with_stem({tokens});
  const Tensor noise = noisy.end() - quiet.end();
  EXPECT_NEAR(noise.square().mean().sqrt().item<double>(), 0.5, 0.15);
  EXPECT_TRUE(same_bits(noisy.end(), with_stem({tokens, of(Injection::kNoise, 0.5)}).end()));
  // Each injection draws its own.
  const Walked twice = with_stem({tokens, of(Injection::kNoise, 0.5), of(Injection::kNoise, 0.5)});
  EXPECT_GT(max_difference(twice.end() - quiet.end(), 2 * noise), 0.1);
}

TEST(Doors, AGateIsTheNextTables) {
  LayerSpec layer = with_readout(block(0, C), 0);
  layer.width_in = 8;
  layer.door = {{Injection::kGate, 1},      {Injection::kWiden},        {Injection::kTokenTable, 1},
                {Injection::kNorm},         of(Injection::kNoise, 0.3), of(Injection::kScale, 2),
                {Injection::kTokenTable, 2}};
  DepthPlan plan = plan_of({{layer}}, 8);
  const Walked w(plan);
  const StepSpec step = unroll(plan).steps[0];
  const Carry& start = w.trace.door(0);
  const RandomField random(1, 2, 3);
  const Rows rows(w.batch);
  Carry carry = start;
  Tensor gate_R1;
  DoorSite site = {step.layer.width, &step, 0};
  for (const Injection& injection : step.layer.door) {
    carry = inject(injection, site, w.walk.params(), rows, carry, gate_R1, random, {});
    EXPECT_EQ(gate_R1.defined(), site.number < 2) << "until a table has used it";
    ++site.number;
  }
}

constexpr int64_t kDoorsLength = 6;

std::unique_ptr<NextTokenModel> door_model(const Settings& settings, at::ScalarType type) {
  Settings all = {{"n_layer", "3"},
                  {"n_embd", "8"},
                  {"block_size", std::to_string(kDoorsLength)},
                  {"loop_sampling_strategy", "fixed"}};
  all.insert(all.end(), settings.begin(), settings.end());
  return model_of(model_with(all), kLoopVocab, type);
}

Batch door_batch() {
  return batch_of(random_tokens({2, kDoorsLength}, kLoopVocab, 3),
                  random_tokens({2, kDoorsLength}, kLoopVocab, 4));
}

// The gate's loss has products of its own.
TEST(Doors, ALoopsInputKeepsTheStreamsTypeUnderAutomaticCasts) {
  const auto model = door_model(
      {{"loop_groups", "[[1]]"}, {"max_loops", "3"}, {"loop_halt_gate", "true"}}, at::kFloat);
  Pass pass;
  pass.training = true;
  Tensor sum, end_RC;
  {
    const Autocast autocast(Precision::kBFloat16, at::kCPU);
    for (const LossPart& part : model->forward(door_batch(), pass).losses)
      sum = sum.defined() ? sum + part.sum : part.sum;
    end_RC = walk(*model, door_batch()).door(3).r_RC;
  }
  EXPECT_EQ(end_RC.scalar_type(), at::kFloat);
  backward(sum);
  for (const char* name : {"adapter.0.weight", "mlp.1.up.weight", "position_table.weight"}) {
    const Tensor gradient = model->parameters().at(name).grad();
    ASSERT_TRUE(gradient.defined()) << name;
    const double size = gradient.abs().sum().item<double>();
    EXPECT_TRUE(size > 0 && std::isfinite(size)) << name;
  }
}

// A layer of a model that has no loops, of a state.
Tensor through_layer(const Model& plain, size_t layer, const Tensor& r_RC) {
  const DepthModel& model = depth(plain);
  WalkState state = walk(plain, door_batch()).state(layer);
  state.travel.carry.r_RC = r_RC;
  model.walk().advance(model.program(), state, layer + 1, {}, {}, nullptr);
  return state.travel.carry.r_RC;
}

// Of a loop that begins with a loop, the last iteration of each alone is in the graph: the outer
// one's input is, though it enters with the inner one's first iteration, which is not.
TEST(Doors, AnInputIsInTheGraphOfItsOwnLoop) {
  const auto plain = door_model({}, at::kDouble);
  const auto looped = door_model({{"loop_groups", "[[[1], 2]]"},
                                  {"loop_adapter", "group"},
                                  {"max_loops", "2"},
                                  {"loops_backprop_depth", "1"}},
                                 at::kDouble);
  std::map<std::string, Tensor> adapters;
  for (const char* name :
       {"adapter.0.weight", "adapter.0.bias", "adapter.1.weight", "adapter.1.bias"}) {
    const at::NoGradGuard no_grad;
    Tensor t = looped->parameters().at(name);
    t.add_(random_normal(t.sizes(), 7), 0.3);
    adapters[name] = t.detach().clone().set_requires_grad(true);
  }
  const auto adapted = [&](const std::string& name, const Tensor& x0_RC, const Tensor& state_RC) {
    return at::cat({x0_RC, state_RC}, -1).matmul(adapters.at(name + ".weight").t()) +
           adapters.at(name + ".bias");
  };
  // An inner iteration.
  const auto inner = [&](const Tensor& x0_RC, const Tensor& state_RC) {
    return through_layer(*plain, 1, adapted("adapter.1", x0_RC, state_RC));
  };
  const Tensor x0_RC = walk(*plain, door_batch()).door(1).r_RC;
  Tensor before_RC, inner_before_RC;
  {
    const at::NoGradGuard no_grad;
    const Tensor u_RC = adapted("adapter.0", x0_RC, x0_RC);
    before_RC = through_layer(*plain, 2, inner(u_RC, inner(u_RC, u_RC)));
  }
  const Tensor u_RC = adapted("adapter.0", x0_RC, before_RC);
  {
    const at::NoGradGuard no_grad;
    inner_before_RC = inner(u_RC, u_RC);
  }
  const Tensor expected_RC = through_layer(*plain, 2, inner(u_RC, inner_before_RC));
  const Tensor end_RC =
      depth(*looped).walk().run(depth(*looped).program(), door_batch(), {}).end.r_RC;
  EXPECT_LT(max_difference(end_RC, expected_RC), 1e-12);
  const Tensor towards_RC = random_normal(end_RC.sizes(), 9);
  backward((expected_RC * towards_RC).sum());
  backward((end_RC * towards_RC).sum());
  for (const Parameter& p : looped->parameters().all()) {
    const auto adapter = adapters.find(p.spec.name);
    const Tensor expected = adapter != adapters.end() ? adapter->second.grad()
                                                      : plain->parameters().at(p.spec.name).grad();
    ASSERT_EQ(p.tensor.grad().defined(), expected.defined()) << p.spec.name;
    if (!expected.defined()) continue;
    EXPECT_LT(max_difference(p.tensor.grad(), expected), 1e-11) << p.spec.name;
  }
  for (const char* name : {"position_table.weight", "mlp.0.up.weight", "adapter.0.weight"}) {
    const Tensor gradient = looped->parameters().at(name).grad();
    EXPECT_TRUE(gradient.defined() && gradient.abs().sum().item<double>() > 0) << name;
  }
}

}  // namespace
}  // namespace fathom::testing
