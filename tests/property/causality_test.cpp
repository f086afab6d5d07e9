// Nothing that is seen of a position depends on later tokens.
#include <ATen/ops/embedding.h>

#include "fathom/model/walk/attend.h"
#include "fathom/ops/plain.h"
#include "fathom/train/recipe/registry.h"
#include "property/seen.h"

namespace fathom::property {
namespace {

std::string walk_leak(const Subject& s, const Batch& batch, bool training) {
  return leak(
      [&](const Batch& b) { return look(s.walk(), s.program(), b, walk_options(training)); },
      batch);
}

// Queries of the step that no key is left for, counted key by key.
int64_t blind_rows(const StepSpec& step, const StepRecord& record, bool mask_self) {
  const Rows& rows = *record.rows;
  const std::vector<double> hidden =
      numbers(record.hidden_R.defined() ? record.hidden_R : rows.token_R.lt(0));
  const std::vector<double> valid =
      numbers(rows.valid_R.defined() ? rows.valid_R : rows.token_R.ge(0));
  const std::vector<double> segment =
      numbers(rows.segment_R.defined() ? rows.segment_R : rows.token_R.mul(0));
  int64_t blind = 0;
  for (int64_t b = 0; b < rows.batch(); ++b)
    for (int64_t q = rows.offsets()[size_t(b)]; q < rows.offsets()[size_t(b) + 1]; ++q) {
      bool sees = false;
      for (int64_t k = rows.offsets()[size_t(b)]; k <= q; ++k) {
        const auto K = static_cast<size_t>(k), Q = static_cast<size_t>(q);
        const int64_t distance = rows.positions()[Q] - rows.positions()[K];
        const bool open = hidden[K] == 0 || (k == q && !mask_self);
        sees = sees || (open && valid[K] != 0 && segment[K] == segment[Q] &&
                        distance <= step.layer.context.value_or(kBlock));
      }
      blind += sees ? 0 : 1;
    }
  return blind;
}

int64_t blind_rows(const Subject& s, const Batch& batch, bool training) {
  const DepthProgram program = s.program();
  const Trace trace = s.walk().run(program, batch, walk_options(training));
  int64_t blind = 0;
  for (size_t i = 0; i < trace.steps.size(); ++i)
    blind += blind_rows(program.steps[i], trace.steps[i], s.program().policy.halting.mask_self);
  return blind;
}

class Causality : public PropertyTest {};

TEST_F(Causality, EveryPresetIsThere) {
  std::string names;
  for (const Case& c : preset_cases()) names += ", " + c.name;
  for (const Case& c : preset_cases(true)) names += ", " + c.name;
  for (const Preset& preset : registry().presets())
    EXPECT_NE((names + ",").find(", " + preset.name + ",") == std::string::npos,
              answers_with_scores(preset_config(preset.name).model))
        << preset.name;
}

// To the bit, in single precision: states after every step, readings, scores, decisions, logits.
TEST_F(Causality, NothingBeforeATokenDependsOnIt) {
  int64_t blind = 0;
  for (const Case& c : all_cases()) {
    if (!c.causal) continue;
    for (const Batch& batch : {text_batch(6, kBlock, 3), ragged_batch(6, 7, 4)})
      for (const bool training : c.passes()) {
        SCOPED_TRACE(c.name + (training ? ", training" : ""));
        const Subject s = subject(c, batch, at::kFloat, training);
        EXPECT_EQ(walk_leak(s, batch, training), "");
        // The rows that a mask leaves without a key are among those looked at.
        const int64_t n = blind_rows(s, batch, training);
        EXPECT_TRUE(n > 0 || !c.halts() || !c.masks_self());
        blind += n;
      }
  }
  EXPECT_GT(blind, 100);
}

TEST_F(Causality, HoldsForTheLogitsThatAreServed) {
  for (const Case& c : all_cases()) {
    if (!c.grows()) continue;
    SCOPED_TRACE(c.name);
    const Batch batch = text_batch(4, kBlock, 3);
    const Subject s = subject(c, batch, at::kFloat);
    // Outside of training gold scores look at no target: the exception is none here.
    const auto see = [&](const Batch& b) {
      const at::NoGradGuard no_grad;
      return Seen{{"logits", s.model->logits(b.tokens_BT)}};
    };
    EXPECT_EQ(leak(see, batch), "");
  }
}

// What a skipping walk says about a row when it leaves, or at the end. With gold scores a row's own
// target decides when that is.
TEST_F(Causality, HoldsWhereRowsLeaveTheWalk) {
  const Batch batch = ragged_batch(6, 7, 4);
  for (const Case& c : all_cases()) {
    if (!c.causal || !c.may_skip()) continue;
    for (const bool training : c.passes()) {
      SCOPED_TRACE(c.name + (training ? ", training" : ""));
      const Subject s = subject(c, batch, at::kDouble, training);
      const auto see = [&](const Batch& b) {
        const at::NoGradGuard no_grad;
        WalkOptions options = walk_options(training);
        options.skip = true;
        const Trace trace = s.walk().run(s.program(), b, options);
        Tensor answer_R = at::full({42}, -9.0, at::TensorOptions(at::kDouble));
        for (const StepRecord* r : trace.readouts())
          answer_R.index_copy_(0, r->rows->source(), r->reading.ln_max_R + r->readout);
        EXPECT_EQ(answer_R.eq(-9.0).sum().item<int64_t>(), 0);
        return Seen{{c.gold() && training ? "target answer" : "answer", answer_R.view({6, 7})}};
      };
      EXPECT_EQ(leak(see, batch, 1e-12), "");
    }
  }
}

// Backward too: after a step a state knows tokens as far back as the windows so far add up to, and
// no further. Nothing halts here.
TEST_F(Causality, AWindowReachesAsFarAsItSays) {
  const Batch batch = text_batch(1, kBlock, 3);
  const std::vector<Tensor> none(3, at::full({1, kBlock}, false, at::TensorOptions(at::kBool)));
  WalkOptions options = walk_options(false);
  options.replay = &none;
  int64_t windows = 0;
  for (const Case& c : all_cases()) {
    SCOPED_TRACE(c.name);
    const Subject s = subject(c, text_batch(6, kBlock, 3), at::kDouble);
    const Seen before = look(s.walk(), s.program(), batch, options);
    for (int64_t j = 0; j < kBlock; ++j) {
      Batch changed = batch;
      changed.tokens_BT = batch.tokens_BT.clone();
      changed.tokens_BT.select(1, j).add_(1).remainder_(kVocab);
      const Seen after = look(s.walk(), s.program(), changed, options);
      int64_t reach = 0;
      for (const StepSpec& step : s.program().steps) {
        reach += step.layer.context.value_or(kBlock);
        windows += step.layer.context ? 1 : 0;
        const std::string state = fmt::format("state, step {}", step.index);
        for (int64_t t = j; t < kBlock; ++t)
          EXPECT_EQ(gap(before.at(state).select(1, t), after.at(state).select(1, t)) > 0,
                    t - j <= reach)
              << state << ": " << t << " knows " << j;
      }
    }
  }
  EXPECT_GT(windows, 0);
}

TEST_F(Causality, GoldLeaksItsTargetWhereItsOwnKeyIsHidden) {
  const Batch batch = text_batch(4, kBlock, 3);
  for (const Case& c : composed_cases()) {
    if (!c.gold()) continue;
    SCOPED_TRACE(c.name);
    const Subject training = subject(c, batch, at::kFloat, true);
    EXPECT_EQ(walk_leak(training, batch, true) != "", c.masks_self());
    EXPECT_EQ(c.causal, !c.masks_self());
    EXPECT_EQ(walk_leak(subject(c, batch, at::kFloat), batch, false), "");
  }
}

// The test would notice: a block of local attention in which a row without keys gets a large
// negative number in place of a mask, and so the mean of all values, later ones too.
TEST_F(Causality, ALargeNegativeNumberInPlaceOfAMaskIsFoundOut) {
  const int64_t C = 8;
  const Tensor table = random_normal({kVocab, C}, 1);
  const auto see_with = [&](bool finite) {
    return [&table, finite](const Batch& batch) {
      const Rows rows(batch);
      const Tensor n_RC = at::embedding(table, rows.token_R);
      // A window of two tokens before the query; odd tokens are hidden, from themselves too.
      const AttentionMask mask = mask_of(rows, {2, rows.of(batch.tokens_BT.remainder(2).eq(1))});
      const Tensor blocked_BTT = plain::blocked_pairs(mask, at::kCPU);
      const Tensor x_BTC = rows.pad(n_RC);
      Tensor out_BTC;
      if (finite) {
        const Tensor scores_BTT = x_BTC.matmul(x_BTC.transpose(1, 2));
        out_BTC = scores_BTT.masked_fill(blocked_BTT, -1e9).softmax(-1).matmul(x_BTC);
      } else {
        out_BTC = attention(x_BTC, x_BTC, x_BTC, 1, mask, {});
      }
      return Seen{{"state, step 0", x_BTC + out_BTC}};
    };
  };
  const Batch batch = text_batch(4, kBlock, 3);
  EXPECT_EQ(leak(see_with(false), batch), "");
  EXPECT_NE(leak(see_with(true), batch), "");
}

}  // namespace
}  // namespace fathom::property
