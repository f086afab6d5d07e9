// Models that loop, made of a configuration: against the plain layers, copies of layers and
// formulas by hand; what is drawn for a training pass.
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <set>

#include "model/walking.h"
#include "spec/looped_model.h"
#include "spec/plans.h"

namespace fathom::testing {
namespace {

constexpr int64_t kLoopedWidth = 8, kLoopedLength = 6, kLoopedRows = 4;

// Three layers, of which the middle one may loop.
ModelConfig looped_config(const Settings& settings) {
  Settings all = {{"n_layer", "3"},
                  {"n_embd", std::to_string(kLoopedWidth)},
                  {"block_size", std::to_string(kLoopedLength)}};
  all.insert(all.end(), settings.begin(), settings.end());
  return model_with(all);
}

Settings and_more(Settings settings, const Settings& more) {
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

Settings one_group(const Settings& more) {
  return and_more({{"loop_groups", "[[1]]"}}, more);
}

std::unique_ptr<NextTokenModel> looped_model(const Settings& settings) {
  return model_of(looped_config(settings), kLoopVocab, at::kDouble);
}

Batch looped_batch() {
  return batch_of(random_tokens({kLoopedRows, kLoopedLength}, kLoopVocab, 3),
                  random_tokens({kLoopedRows, kLoopedLength}, kLoopVocab, 4));
}

Policy with_count(const Model& model, int64_t count) {
  Policy policy = depth(model).program().policy;
  for (LoopPolicy& loop : policy.loops) loop.count = count;
  return policy;
}

// What leaves the last layer after so many iterations.
Tensor end_after(const Model& model, int64_t count) {
  const DepthWalk& walk = depth(model).walk();
  return walk.run(unroll(walk.plan(), with_count(model, count)), looped_batch(), {}).end.r_RC;
}

// Layer 1 of a model that has no loops, of a state.
Tensor layer_one(const Model& plain, const Tensor& r_RC) {
  const DepthModel& model = depth(plain);
  WalkState state = walk(plain, looped_batch()).state(1);
  state.travel.carry.r_RC = r_RC;
  model.walk().advance(model.program(), state, 2, {}, {}, nullptr);
  return state.travel.carry.r_RC;
}

double loss_and_backward(const Model& model, const Batch& batch, const Pass& pass = {}) {
  const ModelOutput output = model.forward(batch, pass);
  backward(output.losses.at(0).sum);
  return output.losses[0].sum.item<double>();
}

const Settings kAdded = {{"concatenate_initial_representation", "false"}};

TEST(LoopedModel, OneIterationThatIsAddedIsThePlainModelToTheBit) {
  const auto plain = looped_model({});
  const auto once = looped_model(one_group(and_more(kAdded, {{"max_loops", "1"}})));
  Pass pass;
  pass.training = true;
  EXPECT_EQ(loss_and_backward(*plain, looped_batch(), pass),
            loss_and_backward(*once, looped_batch(), pass));
  for (const Parameter& p : plain->parameters().all())
    EXPECT_TRUE(same_bits(p.tensor.grad(), once->parameters().at(p.spec.name).grad()))
        << p.spec.name;
  const auto bypassed =
      looped_model(one_group({{"max_loops", "1"}, {"single_pass_adapter", "false"}}));
  EXPECT_TRUE(same_bits(end_after(*plain, 1), end_after(*bypassed, 1)));
  const auto adapted = looped_model(one_group({{"max_loops", "1"}}));
  EXPECT_FALSE(same_bits(end_after(*plain, 1), end_after(*adapted, 1)));
}

TEST(LoopedModel, AnAdapterThatIsTheInputForgetsTheState) {
  const auto plain = looped_model({});
  const auto model = looped_model(one_group({{"loop_adapter_init", "identity"}}));
  for (const int64_t count : {1, 2, 5})
    EXPECT_LT(max_difference(end_after(*model, count), end_after(*plain, 1)), 1e-13) << count;
  const auto half = looped_model(one_group({{"loop_adapter_init", "half"}}));
  EXPECT_LT(max_difference(end_after(*half, 1), end_after(*plain, 1)), 1e-13)
      << "the first state is the input";
  EXPECT_GT(max_difference(end_after(*half, 2), end_after(*plain, 1)), 1e-6);
}

// Of the state alone: the layer as often, one behind the other, with the same weights.
TEST(LoopedModel, AnAdapterThatIsTheStateMakesCopiesOfTheLayer) {
  const auto looped =
      looped_model(one_group({{"loop_sampling_strategy", "fixed"}, {"max_loops", "3"}}));
  const at::NoGradGuard no_grad;
  Tensor weight = looped->parameters().at("adapter.0.weight");
  weight.zero_();
  for (int64_t i = 0; i < kLoopedWidth; ++i) weight[i][kLoopedWidth + i] = 1.0;
  const at::AutoGradMode graph(true);
  const ModelConfig config = looped_config({});
  DepthPlan plan = make_depth_plan(config);
  plan.nodes.insert(plan.nodes.begin() + 1, {plan.nodes[1], plan.nodes[1]});
  const DepthModel copies(
      {config,
       kLoopVocab,
       plan,
       {},
       make_supervision(config.supervision, 3),
       ParameterSet(parameter_table(plan, config.backbone, kLoopVocab), 1, at::kCPU, at::kDouble),
       {}});
  EXPECT_NEAR(loss_and_backward(*looped, looped_batch()), loss_and_backward(copies, looped_batch()),
              1e-11);
  for (const Parameter& p : copies.parameters().all())
    EXPECT_LT(max_difference(p.tensor.grad(), looped->parameters().at(p.spec.name).grad()), 1e-11)
        << p.spec.name;
}

TEST(LoopedModel, TwoIterationsThatAreAddedByHand) {
  const auto plain = looped_model({});
  const auto model = looped_model(one_group(kAdded));
  const at::NoGradGuard no_grad;
  const KeptTrace trace = walk(*plain, looped_batch());
  const Tensor x0_RC = trace.door(1).r_RC;
  const Tensor expected_RC = layer_one(*plain, x0_RC + layer_one(*plain, x0_RC));
  const DepthWalk& w = depth(*model).walk();
  const DepthProgram program = unroll(w.plan(), with_count(*model, 2));
  const KeptTrace looped = run_kept(w, program, looped_batch(), {});
  EXPECT_LT(max_difference(looped.door(3).r_RC, expected_RC), 1e-13);
}

// A[x0; state] with norm and signal, two iterations, by the formulas.
TEST(LoopedModel, TheDoorIsAdapterThenNormThenSignal) {
  for (const char* signal : {"vector", "scale"}) {
    const auto plain = looped_model({});
    const auto model = looped_model(
        one_group({{"loop_norm", "rms"}, {"loop_signal", signal}, {"max_loops", "2"}}));
    const at::NoGradGuard no_grad;
    for (const char* name :
         {"adapter.0.weight", "adapter.0.bias", "norm_loop.0.weight", "loop_signal.0.weight"}) {
      Tensor t = model->parameters().at(name);
      t.add_(random_normal(t.sizes(), 7), 0.3);
    }
    const auto at = [&](const char* name) { return model->parameters().at(name); };
    const Tensor x0_RC = walk(*plain, looped_batch()).door(1).r_RC;
    const auto entered = [&](const Tensor& state_RC, int64_t row) {
      const Tensor u_RC =
          at::cat({x0_RC, state_RC}, -1).matmul(at("adapter.0.weight").t()) + at("adapter.0.bias");
      const Tensor n_RC =
          at("norm_loop.0.weight") * u_RC / (u_RC.square().mean(-1, true) + 1e-5).sqrt();
      const Tensor s = at("loop_signal.0.weight")[row];
      return std::string(signal) == "vector" ? n_RC + s : n_RC * s;
    };
    Tensor state_RC = x0_RC;
    const DepthWalk& w = depth(*model).walk();
    for (const int64_t count : {1, 2, 3, 4}) {
      // The table has two rows; iterations beyond have the last.
      state_RC = layer_one(*plain, entered(state_RC, std::min<int64_t>(count - 1, 1)));
      const DepthProgram program = unroll(w.plan(), with_count(*model, count));
      const KeptTrace trace = run_kept(w, program, looped_batch(), {});
      EXPECT_LT(max_difference(trace.door(size_t(count) + 1).r_RC, state_RC), 1e-12) << count;
    }
  }
}

TEST(LoopedModel, GradientsOfTheDoorAreDifferences) {
  for (const Settings& more :
       {Settings{{"loop_norm", "layer"}, {"loop_signal", "vector"}, {"loop_noise_scale", "2"}},
        Settings{{"loop_norm", "rms"},
                 {"loop_signal", "scale"},
                 {"block_style", "huginn"},
                 {"residual_scaling", "tied_depth"},
                 {"init", "huginn"}},
        Settings{{"loop_signal", "scale"},
                 {"block_style", "sandwich"},
                 {"init", "takase"},
                 {"scale_embeddings", "true"},
                 {"loops_backprop_depth", "5"}}}) {
    const auto model = looped_model(
        one_group(and_more(more, {{"loop_sampling_strategy", "fixed"}, {"max_loops", "3"}})));
    disturb(*model, 0.1);
    std::vector<Tensor> leaves;
    for (const Parameter& p : model->parameters().all())
      if (p.spec.part != Part::kAttention && p.spec.part != Part::kMlp) leaves.push_back(p.tensor);
    expect_gradients([&] { return model->forward(looped_batch(), {}).losses.at(0).sum; }, leaves,
                     2);
  }
}

TEST(LoopedModel, TruncationAtTheWholeDepthIsNone) {
  const auto gradient = [](const char* backprop, const char* name) {
    const auto model = looped_model(one_group({{"loop_sampling_strategy", "fixed"},
                                               {"max_loops", "4"},
                                               {"loops_backprop_depth", backprop}}));
    loss_and_backward(*model, looped_batch());
    return model->parameters().at(name).grad();
  };
  const Tensor full = gradient("0", "adapter.0.weight");
  EXPECT_TRUE(same_bits(gradient("4", "adapter.0.weight"), full));
  EXPECT_TRUE(same_bits(gradient("None", "adapter.0.weight"), full));
  EXPECT_GT(max_difference(gradient("2", "adapter.0.weight"), full), 1e-9);
  EXPECT_GT(gradient("1", "mlp.0.up.weight").abs().sum().item<double>(), 0)
      << "the group's input has its gradient by the last iterations";
}

// The first state of a loop with an adapter.
Tensor opened(double noise, NoiseInEval in_eval, bool training, const RandomField& random,
              const Batch& batch, int64_t width) {
  StepSpec step;
  step.path = {{0, 0, 0}};
  Injection open{Injection::kOpenLoop, 0};
  open.noise = noise;
  open.noise_in_eval = in_eval;
  const Rows rows(batch);
  Carry carry;
  carry.r_RC = random_normal({rows.count(), width}, 5);
  Tensor gate_R1;
  return inject(open, {width, &step, 0, training}, {}, rows, carry, gate_R1, random, {}).r_RC;
}

TEST(LoopNoise, HasItsStandardDeviation) {
  const ModelConfig config =
      model_with({{"loop_groups", "[[1, [2]]]"}, {"loop_noise_scale", "2.5"}, {"n_embd", "64"}});
  const Policy policy = make_policy(config);
  Batch batch;
  batch.tokens_BT = at::zeros({20, 100}, at::kLong);
  for (const auto& [group, order] : {std::pair<size_t, double>{0, 1}, {1, 2}}) {
    const Tensor x =
        opened(policy.loops[group].noise, NoiseInEval::kSame, true, {1, 2, 0}, batch, 64);
    const double expected = 2.5 * std::sqrt(order * 2 / (5 * 64.0));
    EXPECT_NEAR(std::sqrt(x.square().mean().item<double>()), expected, 0.01 * expected);
    EXPECT_NEAR(x.mean().item<double>(), 0, 0.01 * expected);
  }
  const Tensor none = opened(0, NoiseInEval::kSame, true, {1, 2, 0}, batch, 64);
  EXPECT_TRUE(same_bits(none, random_normal({2000, 64}, 5))) << "the group's input";
}

TEST(LoopNoise, InEvaluationIsAsItIsSet) {
  const Batch batch = looped_batch();
  const auto noise = [&](NoiseInEval how, bool training, const RandomField& random) {
    return opened(1, how, training, random, batch, kLoopedWidth)
        .view({kLoopedRows, kLoopedLength, kLoopedWidth});
  };
  const RandomField one(1, 2, 0), other(2, 2, 0);
  const Tensor trained = noise(NoiseInEval::kZero, true, one);
  EXPECT_TRUE(same_bits(noise(NoiseInEval::kFixedSeed, true, one), trained)) << "not in training";
  EXPECT_TRUE(same_bits(noise(NoiseInEval::kSame, false, one), trained));
  EXPECT_FALSE(same_bits(noise(NoiseInEval::kSame, false, other), trained));
  EXPECT_EQ(noise(NoiseInEval::kZero, false, one).abs().sum().item<double>(), 0);
  const Tensor fixed = noise(NoiseInEval::kFixedSeed, false, one);
  EXPECT_TRUE(same_bits(noise(NoiseInEval::kFixedSeed, false, other), fixed));
  EXPECT_TRUE(same_bits(fixed[0], fixed[kLoopedRows - 1])) << "alike for every sequence";
  EXPECT_FALSE(same_bits(fixed[0][0], fixed[0][1]));
}

// Two groups in training, and one in the second, with everything that draws random numbers.
Settings drawing(const char* unit, const char* noise = "2") {
  return {{"n_layer", "4"},
          {"loop_groups", "[[0], [1, [2]]]"},
          {"max_loops", "4"},
          {"loop_sampling_unit", unit},
          {"loop_noise_scale", noise},
          {"loop_signal", "vector"},
          {"dropout", "0.2"},
          {"loops_backprop_depth", "2"}};
}

Pass drawing_pass(int64_t step, int64_t first_sequence) {
  Pass pass;
  pass.training = true;
  pass.random = RandomField(7, step, first_sequence);
  return pass;
}

Batch some_rows(const Batch& batch, int64_t first, int64_t count) {
  return map_columns(batch, [&](const Tensor& t) { return t.narrow(0, first, count); });
}

double iterations(const ModelOutput& output, const char* group) {
  const Metric& metric = output.metrics.at(std::string("loops/") + group);
  return metric.sum / metric.count;
}

// Of all parameters since the last call, one behind the other.
Tensor take_gradients(Model& model) {
  std::vector<Tensor> all;
  for (const Parameter& p : model.parameters().all())
    all.push_back(p.tensor.grad().defined() ? p.tensor.grad().flatten()
                                            : at::zeros({p.spec.count()}, at::kDouble));
  model.parameters().zero_grad();
  return at::cat(all);
}

// With noise, and with states that begin as the group's input, through which a gradient goes.
TEST(DrawnLoops, AreTheSameHoweverAStepIsSplit) {
  for (const auto& [unit, noise] : {std::pair{"step", "2"}, {"sequence", "2"}, {"sequence", "0"}}) {
    SCOPED_TRACE(std::string(unit) + ", noise " + noise);
    const auto model = looped_model(drawing(unit, noise));
    disturb(*model, 0.05);
    const Batch batch = looped_batch();
    for (const int64_t step : {0, 1, 5}) {
      const double whole = loss_and_backward(*model, batch, drawing_pass(step, 0));
      const Tensor expected = take_gradients(*model);
      double split = 0;
      for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 1}, {1, 1}, {2, 2}})
        split +=
            loss_and_backward(*model, some_rows(batch, first, count), drawing_pass(step, first));
      EXPECT_NEAR(split, whole, 1e-10) << step;
      EXPECT_LT(max_difference(take_gradients(*model), expected), 1e-10) << step;
    }
  }
}

TEST(DrawnLoops, DependOnSeedStepAndGroup) {
  const auto model = looped_model(drawing("step"));
  const Batch batch = some_rows(looped_batch(), 0, 1);
  const at::NoGradGuard no_grad;
  std::set<std::pair<double, double>> pairs;
  std::set<double> first;
  for (int64_t step = 0; step < 16; ++step) {
    const ModelOutput output = model->forward(batch, drawing_pass(step, 0));
    const ModelOutput again = model->forward(batch, drawing_pass(step, 9));
    EXPECT_EQ(iterations(output, "layer_0"), iterations(again, "layer_0"))
        << "one count for the whole step";
    pairs.emplace(iterations(output, "layer_0"), iterations(output, "layers_1-2"));
    first.insert(iterations(output, "layer_0"));
  }
  EXPECT_GE(first.size(), 3U);
  EXPECT_GT(pairs.size(), first.size()) << "groups are independent";
  for (const auto& [name, metric] : model->forward(batch, {}).metrics)
    EXPECT_NE(name.rfind("loops/", 0), 0U) << "nothing in evaluation";
  EXPECT_EQ(depth(*model).program().policy.loops[0].count, 3) << "2.5 iterations on average";
}

// Sequences with counts of their own, beside each other or alone.
TEST(DrawnLoops, ASequenceKnowsNothingOfTheOthersCounts) {
  const auto model = looped_model(one_group({{"loop_signal", "vector"}, {"loop_norm", "layer"}}));
  disturb(*model, 0.2);
  const at::NoGradGuard no_grad;
  const DepthWalk& w = depth(*model).walk();
  const std::vector<int64_t> counts = {1, 4, 2, 4};
  Policy policy = with_count(*model, 4);
  policy.loops[0].counts = counts;
  const Tensor together = w.run(unroll(w.plan(), policy), looped_batch(), {})
                              .end.r_RC.view({kLoopedRows, kLoopedLength, kLoopedWidth});
  for (int64_t b = 0; b < kLoopedRows; ++b) {
    const DepthProgram alone = unroll(w.plan(), with_count(*model, counts[size_t(b)]));
    const Tensor end_RC = w.run(alone, some_rows(looped_batch(), b, 1), {}).end.r_RC;
    EXPECT_LT(max_difference(together[b], end_RC), 1e-12) << b;
  }
}

// silu(x) = x sigmoid(x); y w / sqrt(mean of squares + eps)
TEST(BlockStyle, IsItsFormulas) {
  for (const char* style : {"sandwich", "huginn"}) {
    const auto model = looped_model({{"block_style", style}, {"rms_norm_eps", "1e-2"}});
    disturb(*model, 0.3);
    const at::NoGradGuard no_grad;
    const auto at = [&](const std::string& name) { return model->parameters().at(name); };
    const auto rms = [&](const Tensor& x, const char* place) {
      return at(std::string("norm_") + place + ".1.weight") * x /
             (x.square().mean(-1, true) + 1e-2).sqrt();
    };
    const auto mlp = [&](const Tensor& x) {
      const Tensor h = x.matmul(at("mlp.1.up.weight").t());
      return (h * h.sigmoid()).matmul(at("mlp.1.down.weight").t());
    };
    const Kept kept = {"door", "n", "a"};
    WalkOptions options;
    options.observe = kept.observer();
    depth(*model).walk().run(depth(*model).program(), looped_batch(), options);
    const Tensor r = kept.door(1)->travel.carry.r_RC, a = kept.at(1, "a");
    EXPECT_LT(max_difference(kept.at(1, "n"), rms(r, "in")), 1e-12);
    const bool huginn = std::string(style) == "huginn";
    const Tensor s = huginn ? rms(r + a, "attention") : r + rms(a, "attention");
    const Tensor end = huginn ? rms(s + mlp(rms(s, "mid")), "mlp") : s + rms(mlp(s), "mlp");
    EXPECT_LT(max_difference(kept.door(2)->travel.carry.r_RC, end), 1e-12) << style;
  }
}

}  // namespace
}  // namespace fathom::testing
