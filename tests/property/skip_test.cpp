// A mask and a skip are one rule seen twice: the dense walk hides the tokens that have halted, the
// skipping walk has them no longer, and what is left is the same.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "fathom/base/error.h"
#include "property/walks.h"
#include "property/wiring_rows.h"

namespace fathom::property {
namespace {

std::vector<Batch> batches() {
  return {text_batch(6, kBlock, 3), ragged_batch(6, 7, 4)};
}

class Skip : public PropertyTest {};

TEST_F(Skip, EqualsTheDenseWalkWithItsDecisions) {
  for (const Case& c : all_cases()) {
    if (!c.may_skip()) continue;
    for (const Batch& batch : batches())
      for (const bool training : c.passes()) {
        SCOPED_TRACE(c.name + (training ? ", training" : "") +
                     (batch.valid_BT.defined() ? ", ragged" : ""));
        const Subject wide = subject(c, batch, at::kDouble, training);
        EXPECT_EQ(compare(wide.walk(), both(wide.walk(), wide.program(), batch, training), 1e-10),
                  "");
        const Subject narrow = subject(c, batch, at::kFloat, training);
        EXPECT_EQ(
            compare(narrow.walk(), both(narrow.walk(), narrow.program(), batch, training), 1e-5),
            "");
      }
  }
}

// Wirings as the notebook has them hide nobody: who halts is computed on (halt_keys = seen), so
// that there is nobody to skip. With a rule that hides each of them may be left.
TEST_F(Skip, OfEveryWiringEqualsTheDenseWalk) {
  const std::vector<Case> cases = preset_cases(true);
  for (Case c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_TRUE(!c.acts() || !c.hides());
    c.config.halting = {};
    c.config.halting.rule = HaltRule::kMax;
    validate(c.config);
    ASSERT_TRUE(c.may_skip() && c.halts());
    for (const Batch& batch : batches()) {
      const Subject s = subject(c, batch, at::kDouble);
      const Walks walks = both(s.walk(), s.program(), batch, false);
      EXPECT_EQ(compare(s.walk(), walks, 1e-10), "");
      ASSERT_GE(walks.skipping.steps.size(), 2U);
      EXPECT_LT(walks.skipping.steps[1].rows->count(), walks.dense.steps[1].rows->count());
    }
  }
  expect_all_wirings(cases);
}

// Whose decisions hide a key from a layer: those of all layers before it, or of the last of them.
TEST_F(Skip, HidesWhatTheHistorySays) {
  int64_t returns = 0;
  for (const Case& c : all_cases()) {
    if (!c.halts_everywhere()) continue;
    SCOPED_TRACE(c.name);
    const Batch batch = text_batch(6, kBlock, 3);
    const Subject s = subject(c, batch, at::kFloat);
    const at::NoGradGuard no_grad;
    const Trace trace = s.walk().run(s.program(), batch, walk_options(false));
    EXPECT_FALSE(trace.steps[0].hidden_R.defined() || trace.steps[0].done_R.defined());
    Tensor any_R = at::full({6 * kBlock}, false, at::TensorOptions(at::kBool));
    for (size_t i = 1; i < trace.steps.size(); ++i) {
      const Tensor& last_R = trace.steps[i - 1].decision.halts_R;
      any_R = any_R.logical_or(last_R);
      const bool previous = c.config.halting.mask_history == MaskHistory::kPrevious;
      EXPECT_TRUE(at::equal(trace.steps[i].hidden_R, previous ? last_R : any_R));
      EXPECT_TRUE(at::equal(trace.steps[i].done_R, any_R));
      returns += previous ? last_R.ne(any_R).sum().item<int64_t>() : 0;
    }
  }
  EXPECT_GT(returns, 0);
}

// Some rows halt at each layer and some do not, and those that halt are computed no further.
TEST_F(Skip, LeavesHaltedRowsBehind) {
  for (const Case& c : all_cases()) {
    if (!c.may_skip() || !c.halts_everywhere()) continue;
    for (const Batch& batch : batches()) {
      SCOPED_TRACE(c.name);
      const Subject s = subject(c, batch, at::kFloat);
      const Walks walks = both(s.walk(), s.program(), batch, false);
      int64_t left = batch.tokens_BT.numel();
      for (const StepRecord& r : walks.skipping.steps) {
        EXPECT_EQ(r.rows->count(), left);
        EXPECT_EQ(walks.skipping.h(r).size(0), left);
        const auto halted = r.decision.halts_R.sum().item<int64_t>();
        EXPECT_GT(halted, 0);
        EXPECT_LT(halted, left);
        left -= halted;
      }
      EXPECT_EQ(walks.skipping.end.r_RC.size(0), left);
      EXPECT_EQ(walks.skipping.steps.size(), walks.dense.steps.size());
      EXPECT_LT(walks.skipping.steps[1].rows->count(), walks.dense.steps[1].rows->count());
    }
  }
}

// Without a replay, in single precision: the same decision wherever the dense walk's score is not
// within 1e-4 of the threshold. Earlier decisions are replayed, so that one near miss at a layer
// does not excuse the next one.
TEST_F(Skip, DecidesAsTheDenseWalkDoes) {
  int64_t compared = 0, near = 0;
  for (const Case& c : all_cases()) {
    if (!c.may_skip() || !c.halts_everywhere()) continue;
    for (const Batch& batch : batches())
      for (const bool training : c.passes()) {
        SCOPED_TRACE(c.name + (training ? ", training" : ""));
        const Subject s = subject(c, batch, at::kFloat, training);
        const Walks walks = both(s.walk(), s.program(), batch, training);
        const HaltingConfig& config = s.config.halting;
        for (const StepRecord& r : walks.skipping.steps) {
          const StepRecord& dense = walks.dense.steps[size_t(r.readout)];
          const double threshold = config.threshold_at(size_t(r.layer));
          const auto of_dense = [&](const Tensor& x) {
            return x.index_select(0, r.rows->source());
          };
          Tensor own_R = r.decision.score_R.ge(threshold);
          if (r.rows->valid_R.defined()) own_R = own_R.logical_and(r.rows->valid_R);
          const Tensor near_R = (of_dense(dense.decision.score_R) - threshold).abs().le(1e-4);
          const Tensor other_R = own_R.ne(of_dense(dense.decision.halts_R));
          EXPECT_EQ(other_R.logical_and(near_R.logical_not()).sum().item<int64_t>(), 0);
          compared += r.rows->count();
          near += near_R.sum().item<int64_t>();
        }
        // All of them by itself: no score is near here.
        const at::NoGradGuard no_grad;
        WalkOptions options = walk_options(training);
        options.skip = true;
        const Trace alone = s.walk().run(walks.program, batch, options);
        ASSERT_EQ(alone.steps.size(), walks.skipping.steps.size());
        for (size_t i = 0; i < alone.steps.size(); ++i)
          EXPECT_TRUE(
              at::equal(alone.steps[i].rows->source(), walks.skipping.steps[i].rows->source()));
      }
  }
  EXPECT_GT(compared, 1000);
  EXPECT_LT(near, compared / 10);
}

RC_GTEST_PROP(SkipProperty, EqualsTheDenseWalkWithAnyDecisions, ()) {
  set_threads(1);
  static const std::vector<Case> cases = all_cases();
  const Case c = *rc::gen::suchThat(rc::gen::elementOf(cases),
                                    [](const Case& x) { return x.halts() && x.may_skip(); });
  const auto seed = *rc::gen::inRange<unsigned>(1, 1000);
  const auto B = *rc::gen::inRange<int64_t>(1, 5), T = *rc::gen::inRange<int64_t>(1, kBlock + 1);
  const Batch batch =
      *rc::gen::arbitrary<bool>() ? text_batch(B, T, seed) : ragged_batch(B, T, seed);
  Subject s;
  s.config = c.config;
  s.model = model_of(c.config, kVocab, at::kDouble, seed);
  disturb(*s.model, 0.3);
  const Decisions decisions = any_decisions(batch, s.program());
  const bool training = *rc::gen::arbitrary<bool>();
  RC_LOG() << c.name << ", B = " << B << ", T = " << T << "\n";
  RC_ASSERT(compare(s.walk(), both(s.walk(), s.program(), batch, training, &decisions), 1e-10) ==
            std::string());
}

TEST_F(Skip, EndsWhenEverythingHasLeft) {
  const Batch batch = text_batch(3, 5, 1);
  for (const Case& c : all_cases()) {
    if (!c.halts_everywhere() || !c.may_skip()) continue;
    SCOPED_TRACE(c.name);
    const Subject s = subject(c, text_batch(6, kBlock, 3), at::kDouble);
    Decisions decisions(3, at::full({3, 5}, true, at::TensorOptions(at::kBool)));
    const Walks walks = both(s.walk(), s.program(), batch, true, &decisions);
    EXPECT_EQ(walks.skipping.steps.size(), 1U);
    EXPECT_EQ(walks.skipping.end.r_RC.size(0), 0);
    EXPECT_EQ(compare(s.walk(), walks, 1e-10), "");
    // All but one sequence, and then that one too.
    decisions[0] = decisions[0].clone();
    decisions[0].select(0, 1).fill_(false);
    const Walks fewer = both(s.walk(), s.program(), batch, true, &decisions);
    ASSERT_EQ(fewer.skipping.steps.size(), 2U);
    EXPECT_EQ(fewer.skipping.steps[1].rows->count(), 5);
    EXPECT_EQ(fewer.skipping.steps[1].rows->offsets(), (std::vector<int64_t>{0, 0, 5, 5}));
    EXPECT_EQ(compare(s.walk(), fewer, 1e-10), "");
  }
}

TEST_F(Skip, IsRefusedWhereATokenMayComeBack) {
  for (const Case& c : all_cases()) {
    if (!c.acts() || c.config.halting.mask_history != MaskHistory::kPrevious) continue;
    const Batch batch = text_batch(6, kBlock, 3);
    const Subject s = subject(c, batch, at::kFloat);
    WalkOptions options = walk_options(false);
    options.skip = true;
    try {
      s.walk().run(s.program(), batch, options);
      ADD_FAILURE() << c.name;
    } catch (const Error& e) {
      EXPECT_STREQ(e.what(), "rows cannot leave the walk with mask_history = previous") << c.name;
      EXPECT_NE(e.hint().find("mask_history = cumulative"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace fathom::property
