// Multiplications are counted from what a walk really did.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>

#include <set>

#include "fathom/base/error.h"
#include "fathom/model/gate_loss.h"
#include "fathom/model/trace_flops.h"
#include "model/corridor_program.h"
#include "property/presets.h"
#include "recipe/config_testing.h"

namespace fathom::testing {
namespace {

FlopsCounter counter(const DepthModel& model, const DepthProgram& program) {
  return {model.walk().plan(), program, model.walk().backbone(), kVocab};
}

double counted(const DepthModel& model, const DepthProgram& program, WalkOptions options,
               bool gradients = false) {
  const at::NoGradGuard no_grad;
  const Trace trace = model.walk().run(program, corridor_batch(), options);
  return flops_of(counter(model, program), trace, gradients);
}

double of_a_token(const DepthModel& model, const DepthProgram& program, int64_t T = kLength) {
  return flops_per_token(model.walk().plan(), program, model.walk().backbone(), kVocab, T)
      .forward();
}

// A walk that leaves nothing out is what a token costs, times the tokens; a shorter loop costs
// less.
TEST(FlopsOfATrace, OfADenseWalkAreThoseOfItsTokens) {
  const auto model = corridor_model({});
  for (const int64_t count : {1, 3, 6}) {
    const DepthProgram program = unroll(model->walk().plan(), corridor_policy({count}));
    EXPECT_DOUBLE_EQ(counted(*model, program, corridor_options()),
                     10 * of_a_token(*model, program));
  }
}

// What `describe` says of a token of a training step: of heads that are read there and of what is
// learned from, wherever the loops end and the gradients do.
TEST(FlopsOfATrace, OfATrainingStepAreDescribes) {
  std::vector<property::Case> cases = property::all_cases();
  const auto add = [&](const char* name, const Settings& settings) {
    property::Case c = {name, property::shrink(preset_config("looped_shakespeare").model)};
    FieldList list;
    add_fields(list, c.config);
    for (const auto& [key, value] : settings) list.set_text(key, value, name);
    validate(c.config);
    cases.push_back(c);
  };
  add("a loop at the end", {{"loop_groups", "[[2]]"}});
  add("a loop at the end, all taught",
      {{"loop_groups", "[[2]]"}, {"layer_supervision", "all"}, {"loops_backprop_depth", "2"}});
  add("gradients through the last iteration",
      {{"loop_groups", "[[1, [2]]]"}, {"loops_backprop_depth", "1"}});
  add("gates", {{"loop_groups", "[[0, [1]], [2]]"}, {"loop_halt_gate", "true"}});
  for (property::Case& c : cases) {
    const HaltRule rule = c.config.halting.rule;
    // Their scores are made besides, by rows that are asked.
    if (rule == HaltRule::kKl || rule == HaltRule::kLowEntropy || rule == HaltRule::kMargin)
      continue;
    if (c.config.architecture != nullptr) continue;
    SCOPED_TRACE(c.name);
    if (has_loops(c.config)) {  // what is told is of the mean count, which may be no whole number
      FieldList list;
      add_fields(list, c.config);
      list.set_text("loop_sampling_strategy", "fixed", "the test");
    }
    const auto model = model_of(c.config, property::kVocab);
    const Batch batch = batch_of(random_tokens({2, 5}, property::kVocab, 1),
                                 random_tokens({2, 5}, property::kVocab, 2));
    const Flops told = flops_per_token(c.config, property::kVocab, 5);
    Pass pass;
    pass.training = true;
    EXPECT_EQ(model->forward(batch, pass).flops, 10 * told.training());
    if (has_halting_gates(depth(*model).program())) continue;
    const at::NoGradGuard no_grad;
    EXPECT_EQ(model->forward(batch, pass).flops, 10 * told.forward());
  }
}

// Of steps without a graph nothing goes back.
TEST(FlopsOfATrace, OfGradientsAreTwiceTheForwardPassWhereTheyGo) {
  const auto model = corridor_model({});
  const LoopSettings cut = {4, 1}, whole = {4, 0};
  const DepthProgram all = unroll(model->walk().plan(), corridor_policy(whole));
  const DepthProgram some = unroll(model->walk().plan(), corridor_policy(cut));
  const double forward = counted(*model, all, corridor_options());
  EXPECT_DOUBLE_EQ(counted(*model, all, corridor_options(), true), 3 * forward);
  const DepthProgram one = unroll(model->walk().plan(), corridor_policy({1}));
  const double iteration =
      (forward - counted(*model, one, corridor_options())) / 3;  // of the loop's four
  EXPECT_NEAR(counted(*model, some, corridor_options(), true), 3 * forward - 2 * 3 * iteration,
              1e-6 * forward);
}

// Twice what each product of the graph costs: those with weights, by the weight that a gradient
// would reach, and those of attention, of queries with keys and with values.
double of_products(const Tensor& loss, double rows, double of_attention) {
  double flops = 0;
  std::set<torch::autograd::Node*> known;
  std::vector<torch::autograd::Node*> open = {loss.grad_fn().get()};
  while (!open.empty()) {
    torch::autograd::Node* const node = open.back();
    open.pop_back();
    if (node == nullptr || !known.insert(node).second) continue;
    const bool is_product = node->name().rfind("Addmm", 0) == 0 || node->name().rfind("Mm", 0) == 0;
    if (node->name().rfind("Bmm", 0) == 0) flops += 2 * of_attention;
    for (const torch::autograd::Edge& edge : node->next_edges()) {
      torch::autograd::Node* const next = edge.function.get();
      open.push_back(next);
      if (!is_product || next == nullptr || next->name() != "TBackward0") continue;
      const auto* leaf =
          dynamic_cast<torch::autograd::AccumulateGrad*>(next->next_edge(0).function.get());
      if (leaf == nullptr) fail("a product with what is no weight");
      flops += 2 * 2 * rows * static_cast<double>(leaf->variable.numel());
    }
  }
  return flops;
}

// Loops that gradients go through in part, in loops of which that holds as well: an outer loop's
// adapter stands at the door of steps that have none.
TEST(FlopsOfATrace, OfGradientsAreThoseOfTheProductsInTheGraph) {
  const double B = 2, T = 5;
  for (const auto& [preset, groups] :
       {std::pair{"looped_nested", "[[[0], [1]]]"}, std::pair{"looped_nested", "[[[0, 1]]]"},
        std::pair{"looped_sandwich", "[[0], [1]]"}, std::pair{"looped_shakespeare", "[[0, 1]]"}})
    for (const char* depth : {"0", "1", "2"}) {
      SCOPED_TRACE(fmt::format("{}, {}, {}", preset, groups, depth));
      ModelConfig config = property::shrink(preset_config(preset).model);
      FieldList list;
      add_fields(list, config);
      for (const auto& [key, value] :
           {std::pair{"loop_sampling_strategy", "fixed"}, std::pair{"max_loops", "3"},
            std::pair{"loop_groups", groups}, std::pair{"loops_backprop_depth", depth}})
        list.set_text(key, value, "a test");
      const auto model = model_of(config, property::kVocab, at::kDouble);
      const Batch batch = batch_of(random_tokens({int64_t(B), int64_t(T)}, property::kVocab, 1),
                                   random_tokens({int64_t(B), int64_t(T)}, property::kVocab, 2));
      const ModelOutput output = model->forward(batch, {});
      const double backward = of_products(property::objective(output.losses), B * T,
                                          2 * B * T * T * double(property::kWidth));
      const at::NoGradGuard no_grad;
      EXPECT_DOUBLE_EQ(output.flops, model->forward(batch, {}).flops + backward);
    }
}

// By hand: the rows that have not halted meet the keys of those of their own sequence.
TEST(FlopsOfATrace, OfASkippingWalkAreOfTheRowsThatAreThere) {
  const auto model = corridor_model({});
  const DepthProgram& program = model->program();
  WalkOptions options = corridor_options();
  options.skip = true;
  const at::NoGradGuard no_grad;
  const Trace trace = model->walk().run(program, corridor_batch(), options);
  double expected = 0;
  const double C = kWidth, V = kVocab;
  bool uneven = false;
  for (const StepRecord& r : trace.steps) {
    const StepSpec& step = program.steps[size_t(r.step)];
    const auto n = static_cast<double>(r.rows->count());
    EXPECT_EQ(r.computed, r.rows->count());
    double row = 2 * 4 * C * C + 16 * C * C;
    if (!step.path.empty()) row += 4 * C * C;  // the adapter
    if (r.readout >= 0) row += 2 * C * V;
    expected += n * row;
    const double first = double(r.rows->offsets()[1]), second = n - first;
    expected += 4 * C * (first * first + second * second);
    uneven = uneven || first != second;
  }
  EXPECT_TRUE(uneven);
  EXPECT_DOUBLE_EQ(flops_of(counter(*model, program), trace, false), expected);
  EXPECT_LT(expected, counted(*model, program, corridor_options()));
}

// One token behind a cache meets all that is there.
TEST(FlopsOfATrace, OfATokenBehindACache) {
  const auto model = corridor_model({});
  const DepthProgram& program = model->program();
  const at::NoGradGuard no_grad;
  WalkCache cache(1, kLength);
  WalkOptions options = corridor_options();
  options.cache = &cache;
  options.read = false;
  double before = 0;
  for (int64_t t = 0; t < kLength; ++t) {
    const auto rows = std::make_shared<const Rows>(std::vector<std::vector<int64_t>>{{t}},
                                                   std::vector<int64_t>{t}, at::kCPU);
    const double now = flops_of(counter(*model, program),
                                model->walk().run(program, rows, Tensor(), options), false);
    if (t > 0) {
      EXPECT_DOUBLE_EQ(now - before, 6 * 4 * kWidth);  // a key more at each step
    }
    before = now;
  }
}

// Rows that have halted and stand still are there for their keys, and no more is made of them.
TEST(FlopsOfATrace, OfRowsThatStandStillAreThoseOfTheirKeys) {
  const auto model = corridor_model({});
  Policy frozen = corridor_policy(), seen = frozen;
  frozen.halting.keys = KeyFate::kFrozen;
  seen.halting.keys = KeyFate::kSeen;
  WalkOptions options = corridor_options();
  options.skip = true;
  const at::NoGradGuard no_grad;
  const DepthProgram program = unroll(model->walk().plan(), frozen);
  const Trace trace = model->walk().run(program, corridor_batch(), options);
  int64_t standing = 0;
  for (const StepRecord& r : trace.steps) {
    const int64_t done = r.done_R.defined() ? r.done_R.sum().item<int64_t>() : 0;
    EXPECT_EQ(r.computed, r.rows->count() - done);
    EXPECT_EQ(r.keys_only, done);
    if (r.readout >= 0) {
      EXPECT_EQ(r.read, r.rows->count() - done);
    }
    standing += done;
  }
  EXPECT_GT(standing, 0);
  const double all = counted(*model, program, corridor_options());
  const double less = flops_of(counter(*model, program), trace, false);
  const double as_seen = counted(*model, unroll(model->walk().plan(), seen), options);
  EXPECT_LT(less, as_seen);
  EXPECT_LE(as_seen, all);
}

}  // namespace
}  // namespace fathom::testing
