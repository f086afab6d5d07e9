// The depth walk with all that it can do beside GPT-2, against loops over numbers: values,
// gradients, loops, segments, rows that leave.
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "errors.h"
#include "model/corridor_reference.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr size_t kCorridorSteps = 6;  // of a loop of three iterations

// The tensor of rows, both sequences one behind the other.
Tensor both(const std::vector<Values>& sequences) {
  Values all;
  for (const Values& s : sequences) all.insert(all.end(), s.begin(), s.end());
  return tensor_of(all, {kSequences * kLength, int64_t(all.size()) / (kSequences * kLength)});
}

std::vector<ReferenceWalk> reference_walks(const DepthModel& model, const LoopSettings& loop = {}) {
  std::vector<ReferenceWalk> walks;
  for (int64_t b = 0; b < kSequences; ++b)
    walks.push_back(reference_walk(Reference(b, loop), weights_of(model)));
  return walks;
}

void expect_carry(const Carry& carry, const std::vector<State>& expected) {
  std::vector<Values> r, y, x0;
  for (const State& s : expected) r.push_back(s.r), y.push_back(s.y), x0.push_back(s.x0);
  EXPECT_LE(max_difference(carry.r_RC, both(r)), 1e-10);
  const Tensor y_RC = carry.y_RC.defined() ? carry.y_RC : at::zeros_like(carry.r_RC);
  EXPECT_LE(max_difference(y_RC, both(y)), 1e-10);
  ASSERT_EQ(carry.x0_RC.size(), x0[0].empty() ? 0U : 1U);
  if (!x0[0].empty()) {
    EXPECT_LE(max_difference(carry.x0_RC[0], both(x0)), 1e-10);
  }
}

TEST(Corridor, EveryStepIsTheReferences) {
  for (const LoopSettings& loop :
       {LoopSettings{}, LoopSettings{1}, LoopSettings{4, 0, false}, LoopSettings{2, 0, false, 0.0},
        LoopSettings{3, 0, true, 0.0}, LoopSettings{1, 0, false}}) {
    SCOPED_TRACE(std::to_string(loop.count) + (loop.adapter ? " adapted" : " added"));
    const auto model = corridor_model({term_of({1, 1, 1})}, loop);
    const KeptTrace trace =
        run_kept(model->walk(), model->program(), corridor_batch(), corridor_options());
    const std::vector<ReferenceWalk> expected = reference_walks(*model, loop);
    ASSERT_EQ(trace.steps.size(), size_t(loop.count) + 3);
    for (size_t i = 0; i < trace.steps.size(); ++i)
      expect_carry(trace.door(i), {expected[0].door[i], expected[1].door[i]});
    expect_carry(trace.end, {expected[0].after.back(), expected[1].after.back()});
  }
}

TEST(Corridor, ReadingsAndDecisionsAreTheReferences) {
  const auto model = corridor_model({term_of({1, 1, 1})});
  const Batch batch = corridor_batch();
  const KeptTrace trace = run_kept(model->walk(), model->program(), batch, corridor_options());
  const std::vector<ReferenceWalk> expected = reference_walks(*model);
  const auto readouts = trace.readouts();
  ASSERT_EQ(readouts.size(), 3U);
  std::set<int> kinds;  // of tokens: hidden or not, sure or not
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(readouts[i]->layer, int(i));
    for (size_t row = 0; row < size_t(kSequences * kLength); ++row) {
      const ReferenceWalk& walk = expected[row / kLength];
      const size_t t = row % kLength;
      const Scores& scores = walk.scores[i];
      const auto at = [&](const Tensor& x_R) { return x_R[int64_t(row)].item<double>(); };
      const int64_t target = batch.targets_BT.data_ptr<int64_t>()[row];
      const Reading& reading = readouts[i]->reading;
      EXPECT_NEAR(at(reading.ln_p_R), target < 0 ? 0 : scores.at(t, target), 1e-10);
      EXPECT_NEAR(at(reading.ln_max_R), scores.largest(t), 1e-10);
      EXPECT_EQ(at(reading.prediction_R), double(scores.best(t)));
      const double p = std::exp(scores.largest(t));
      EXPECT_NEAR(at(readouts[i]->decision.score_R), p, 1e-10);
      EXPECT_EQ(at(readouts[i]->decision.halts_R), double(walk.halts[i][t]));
      if (i > 0) {
        EXPECT_EQ(at(readouts[i]->done_R), double(walk.done[i][t]));
      }
      EXPECT_GT(std::abs(p - kThresholds[i]), 1e-3) << "differences would change who halts";
      kinds.insert(2 * walk.done[i][t] + walk.halts[i][t]);
    }
  }
  EXPECT_EQ(kinds.size(), 4U) << "a threshold that does not tell the tokens apart";
}

double loss_of(const Weights& w, const LoopSettings& loop = {}) {
  double loss = 0;
  for (int64_t b = 0; b < kSequences; ++b) {
    const ReferenceWalk walk = reference_walk(Reference(b, loop), w);
    for (size_t i = 0; i < 3; ++i)
      for (size_t t = 0; t < kLength; ++t) {
        const Batch batch = corridor_batch();
        const int64_t target = batch.targets_BT[b][int64_t(t)].item<int64_t>();
        const double weight = batch.weight_BT[b][int64_t(t)].item<double>();
        if (target >= 0) loss -= double(i + 1) * weight * walk.scores[i].at(t, target);
      }
  }
  return loss;
}

TEST(Corridor, LossAndGradientsAreTheReferences) {
  for (const bool adapter : {true, false}) {
    const LoopSettings loop = {3, 0, adapter};
    const auto model = corridor_model({term_of({1, 2, 3})}, loop);
    const ModelOutput output = model->forward(corridor_batch(), corridor_pass());
    ASSERT_EQ(output.losses.size(), 1U);
    EXPECT_NEAR(output.losses[0].sum.item<double>(), loss_of(weights_of(*model), loop), 1e-10);
    backward(output.losses[0].sum);
    expect_gradients_of(*model, [&](const Weights& w) { return loss_of(w, loop); });
  }
}

// sum(end * direction) of rows that are (sequence, T) by C, for a scalar that depends on all.
Tensor direction() {
  return random_normal({kSequences * kLength, kWidth}, 77);
}
double along_direction(const std::vector<State>& ends) {
  std::vector<Values> r;
  for (const State& s : ends) r.push_back(s.r);
  return (both(r) * direction()).sum().item<double>();
}

TEST(Segment, RepeatsTheWalkBitForBit) {
  const auto model = corridor_model({});
  const DepthProgram program = model->program();
  const WalkOptions options = corridor_options();
  const KeptTrace trace = run_kept(model->walk(), program, corridor_batch(), options);
  for (size_t first = 0; first < kCorridorSteps; ++first)
    for (size_t last = first; last <= kCorridorSteps; ++last)
      for (const bool live : {true, false}) {
        const Carry again = walk_again(model->walk(), program, trace, {first, last, live, live},
                                       trace.door(first), options);
        const Carry& there = last < kCorridorSteps ? trace.door(last) : trace.end;
        EXPECT_TRUE(same_bits(again.r_RC, there.r_RC)) << first << " to " << last;
        ASSERT_EQ(again.y_RC.defined(), there.y_RC.defined());
        if (there.y_RC.defined()) {
          EXPECT_TRUE(same_bits(again.y_RC, there.y_RC)) << first << " to " << last;
        }
        ASSERT_EQ(again.x0_RC.size(), there.x0_RC.size());
        for (size_t k = 0; k < there.x0_RC.size(); ++k)
          EXPECT_TRUE(same_bits(again.x0_RC[k], there.x0_RC[k])) << first << " to " << last;
      }
}

TEST(Segment, GradientsGoWhereTheyAreAllowed) {
  constexpr size_t kFirst = 2, kLast = 5;  // from the loop's second iteration to its second reader
  const LoopSettings loop;
  for (const bool live_carry : {true, false})
    for (const bool live_params : {true, false}) {
      SCOPED_TRACE(std::to_string(live_carry) + std::to_string(live_params));
      const auto model = corridor_model({});
      const DepthProgram program = model->program();
      const WalkOptions options = corridor_options();
      const KeptTrace trace = run_kept(model->walk(), program, corridor_batch(), options);
      const Carry end =
          walk_again(model->walk(), program, trace, {kFirst, kLast, live_carry, live_params},
                     trace.door(kFirst), options);
      ASSERT_EQ(end.r_RC.requires_grad(), live_carry || live_params);
      if (!end.r_RC.requires_grad()) continue;
      backward((end.r_RC * direction()).sum());
      const Weights frozen = weights_of(*model);
      expect_gradients_of(*model, [&](const Weights& w) {
        std::vector<State> ends;
        for (int64_t b = 0; b < kSequences; ++b) {
          const Reference reference(b, loop);
          const ReferenceWalk walk = reference_walk(reference, live_carry ? w : frozen);
          State s = walk.door[kFirst];
          for (size_t i = kFirst; i < kLast; ++i)
            s = reference.step(i, live_params ? w : frozen, s, walk.hidden[i]);
          ends.push_back(s);
        }
        return along_direction(ends);
      });
      const bool reaches_back = model->parameters().at("position_table.weight").grad().defined();
      EXPECT_EQ(reaches_back, live_carry);
    }
}

TEST(Segment, RefusesStepsThatTheWalkDoesNotHave) {
  const auto model = corridor_model({});
  const DepthProgram program = model->program();
  const KeptTrace trace = run_kept(model->walk(), program, corridor_batch(), corridor_options());
  for (const auto& [first, last] : {std::pair<size_t, size_t>{0, 7}, {3, 2}})
    EXPECT_THAT(caught([&, f = first, l = last] {
                  walk_again(model->walk(), program, trace, {f, l}, trace.end, corridor_options());
                }).what(),
                HasSubstr("a walk of 6 steps cannot go from"));
}

// The first iterations without a graph: their state is a number to the later ones, while the loop's
// input goes on teaching what made it.
TEST(TruncatedLoop, CutsTheStateAndNotTheInput) {
  for (const LoopSettings& loop :
       {LoopSettings{4, 2}, LoopSettings{4, 1}, LoopSettings{3, 2, false}, LoopSettings{2, 1}}) {
    SCOPED_TRACE(std::to_string(loop.count) + ", last " + std::to_string(loop.backprop_depth));
    const auto model = corridor_model({}, loop);
    const DepthProgram program = model->program();
    const KeptTrace trace = run_kept(model->walk(), program, corridor_batch(), corridor_options());
    backward((trace.end.r_RC * direction()).sum());
    const Weights frozen = weights_of(*model);
    const auto cut = size_t(loop.count - loop.backprop_depth);  // iterations without a gradient
    expect_gradients_of(*model, [&](const Weights& w) {
      std::vector<State> ends;
      for (int64_t b = 0; b < kSequences; ++b) {
        const Reference reference(b, loop);
        const ReferenceWalk walk = reference_walk(reference, frozen);
        State s = reference.step(0, w, reference.stem(w), walk.hidden[0]);
        const State& before = walk.door[cut + 1];
        s = {before.r, before.y, s.r};
        for (size_t i = cut + 1; i < reference.depth(); ++i)
          s = reference.step(i, w, s, walk.hidden[i]);
        ends.push_back(s);
      }
      return along_direction(ends);
    });
    EXPECT_FALSE(model->parameters().at("token_table.1.weight").grad().defined())
        << "read in the first iteration alone";
    EXPECT_GT(model->parameters().at("position_table.weight").grad().abs().max().item<double>(),
              1e-3);
  }
}

TEST(TruncatedLoop, ChangesNoValue) {
  const auto run = [](const LoopSettings& loop) {
    const auto model = corridor_model({}, loop);
    return model->walk().run(model->program(), corridor_batch(), corridor_options()).end.r_RC;
  };
  EXPECT_TRUE(same_bits(run({4, 0}), run({4, 1})));
}

TEST(Corridor, LogitsAndTheNextTokenAreTheReferences) {
  const LoopSettings quiet = {3, 0, true, 0.0};  // the noise of a pass of its own is not the tests'
  const auto model = corridor_model({}, quiet);
  const Tensor tokens = corridor_batch().tokens_BT;
  const std::vector<ReferenceWalk> expected = reference_walks(*model, quiet);
  EXPECT_LE(max_difference(model->logits(tokens).log_softmax(-1).view({-1, kVocab}),
                           both({expected[0].scores[2].ln_p, expected[1].scores[2].ln_p})),
            1e-10);
  std::set<size_t> layers;
  for (int64_t length = 1; length <= kLength; ++length) {
    const Tensor start = tokens.narrow(1, 0, length);
    const NextToken first = model->next_token(start, Exit::kFirstConfident);
    const NextToken last = model->next_token(start, Exit::kLast);
    for (int64_t b = 0; b < kSequences; ++b) {
      const ReferenceWalk& walk = expected[size_t(b)];
      const auto t = size_t(length - 1);
      size_t layer = 0;
      while (layer < 2 && !walk.halts[layer][t]) ++layer;
      layers.insert(layer);
      EXPECT_EQ(first.layer_N[b].item<int64_t>(), int64_t(layer));
      EXPECT_EQ(last.layer_N[b].item<int64_t>(), 2);
      for (const auto& [scores, from] :
           {std::pair{first.scores_NV[b], layer}, {last.scores_NV[b], size_t(2)}}) {
        const Values& all = walk.scores[from].ln_p;
        const Values row(all.begin() + int64_t(t) * kVocab, all.begin() + int64_t(t + 1) * kVocab);
        EXPECT_LE(max_difference(scores.log_softmax(-1), tensor_of(row, {kVocab})), 1e-10);
      }
    }
  }
  EXPECT_GT(layers.size(), 1U) << "every token is answered by one layer";
}

TEST(Corridor, NoiseIsOfTheSequenceAndStepAndActsWithoutTraining) {
  const auto model = corridor_model({});
  const auto end = [&](const RandomField& random, int64_t first, int64_t count) {
    Batch batch;
    batch.tokens_BT = corridor_batch().tokens_BT.narrow(0, first, count);
    WalkOptions options;
    options.random = random;
    return model->walk().run(model->program(), batch, options).end.r_RC;
  };
  const Tensor whole = end(corridor_random(), 0, 2);
  EXPECT_LE(max_difference(whole.narrow(0, kLength, kLength), end(corridor_random(1), 1, 1)),
            1e-13);
  for (const RandomField& other : {RandomField(8, 4, 0), RandomField(9, 5, 0), corridor_random(1)})
    EXPECT_GT(max_difference(whole, end(other, 0, 2)), 1e-3);
}

// At every step the rows that have not halted are as they are in the dense walk, with what the loop
// they are in and the block before have left for them. Gives the number of rows by step, and after
// the last.
std::vector<int64_t> rows_of_the_dense_walk(const DepthModel& model) {
  WalkOptions options = corridor_options();
  const KeptTrace dense = run_kept(model.walk(), model.program(), corridor_batch(), options);
  options.skip = true;
  const KeptTrace skipping = run_kept(model.walk(), model.program(), corridor_batch(), options);
  std::vector<int64_t> counts;
  for (size_t i = 0; i < skipping.steps.size(); ++i) {
    SCOPED_TRACE(i);
    const StepRecord &all = dense.steps[i], &some = skipping.steps[i];
    const Tensor rows = some.rows->source();
    const Tensor stay = all.done_R.defined() ? all.done_R.logical_not() : rows.ge(0);
    EXPECT_TRUE(same_bits(rows, stay.nonzero().squeeze(1)));
    counts.push_back(rows.numel());
    const auto expect_rows = [&](const Tensor& whole, const Tensor& part) {
      EXPECT_LE(max_difference(whole.index_select(0, rows), part), 1e-12);
    };
    expect_rows(dense.door(i).r_RC, skipping.door(i).r_RC);
    if (i > 0) expect_rows(dense.door(i).y_RC, skipping.door(i).y_RC);
    EXPECT_EQ(skipping.door(i).x0_RC.size(), i == 2 || i == 3 ? 1U : 0U);
    for (size_t k = 0; k < skipping.door(i).x0_RC.size(); ++k)
      expect_rows(dense.door(i).x0_RC[k], skipping.door(i).x0_RC[k]);
    if (all.readout >= 0) expect_rows(all.reading.ln_max_R, some.reading.ln_max_R);
  }
  counts.push_back(skipping.end.r_RC.size(0));
  return counts;
}

TEST(SkippingWalk, KeepsTheRowsOfTheDenseOneThatHaveNotHalted) {
  EXPECT_THAT(rows_of_the_dense_walk(*corridor_model({})), ElementsAre(10, 6, 6, 6, 6, 3, 0));
}

TEST(SkippingWalk, RowsMayLeaveInsideALoop) {
  DepthPlan plan = corridor_plan();
  auto& inside = std::get<LayerSpec>(std::get<LoopGroup>(plan.nodes[1].node).body[0].node);
  inside = with_readout(inside, 1);
  Policy policy = corridor_policy();
  policy.halting.config.thresholds = {0.7, 0.8, 0.3};
  EXPECT_THAT(rows_of_the_dense_walk(*model_of_plan(plan, policy, {})),
              ElementsAre(10, 8, 8, 5, 3, 3, 1));
}

TEST(SkippingWalk, EndsWhereEveryRowHasLeft) {
  const auto model = corridor_model({});
  const Tensor all = at::zeros({kSequences, kLength}, at::TensorOptions(at::kBool)).logical_not();
  const std::vector<Tensor> replay = {all, all, all};
  WalkOptions options = corridor_options();
  options.skip = true;
  options.replay = &replay;
  EXPECT_EQ(model->walk().run(model->program(), corridor_batch(), options).steps.size(), 1U);
}

}  // namespace
}  // namespace fathom::testing
