// What is seen of a token depends on nothing but its own sequence, its own segment, and positions
// that are there.
#include <ATen/ops/where.h>

#include "property/seen.h"

namespace fathom::property {
namespace {

constexpr double kBitsTolerance = 1e-12;

// f(subject, batch, training) for every case, pass and kind of batch.
void for_each(const std::function<void(const Subject&, const Batch&, bool)>& f) {
  for (const Case& c : all_cases())
    for (const Batch& batch : {text_batch(6, kBlock, 3), ragged_batch(6, 7, 4)})
      for (const bool training : c.passes()) {
        SCOPED_TRACE(c.name + (training ? ", training" : "") +
                     (batch.valid_BT.defined() ? ", ragged" : ""));
        f(subject(c, batch, at::kDouble, training), batch, training);
      }
}

Part whole() {
  return [](const Tensor& x) { return x; };
}
Part sequence(int64_t b) {
  return [b](const Tensor& x) { return x.narrow(0, b, 1); };
}
Part from(int64_t first, int64_t count) {
  return [=](const Tensor& x) { return x.narrow(1, first, count); };
}

class Independence : public PropertyTest {};

TEST_F(Independence, OfTheOtherSequences) {
  for_each([](const Subject& s, const Batch& batch, bool training) {
    WalkOptions options = walk_options(training);
    const Seen together = look(s.walk(), s.program(), batch, options);
    for (int64_t b = 0; b < batch.tokens_BT.size(0); ++b) {
      options.random = RandomField(5, 1, b);
      const Seen alone = look(s.walk(), s.program(), sequences(batch, b, 1), options);
      const Difference d = difference(together, sequence(b), alone, whole());
      EXPECT_LE(d.largest, kBitsTolerance) << d << ", sequence " << b;
    }
  });
}

// The rows' readings in a skipping walk where they leave, by their place in the batch.
Tensor answers(const Subject& s, const Batch& batch, const WalkOptions& options) {
  const at::NoGradGuard no_grad;
  Tensor answer_R = at::full({batch.tokens_BT.numel()}, 0.0, at::TensorOptions(at::kDouble));
  const Trace trace = s.walk().run(s.program(), batch, options);
  for (const StepRecord* r : trace.readouts())
    answer_R.index_copy_(0, r->rows->source(), r->reading.ln_max_R - r->readout);
  return answer_R.view(batch.tokens_BT.sizes());
}

TEST_F(Independence, OfTheOtherSequencesWhereRowsLeave) {
  for_each([](const Subject& s, const Batch& batch, bool training) {
    if (s.config.halting.mask_history != MaskHistory::kCumulative) return;
    WalkOptions options = walk_options(training);
    options.skip = true;
    const Tensor together_BT = answers(s, batch, options);
    for (int64_t b = 0; b < batch.tokens_BT.size(0); ++b) {
      options.random = RandomField(5, 1, b);
      const Tensor alone_BT = answers(s, sequences(batch, b, 1), options);
      EXPECT_LE(gap(together_BT.narrow(0, b, 1), alone_BT), kBitsTolerance);
    }
  });
}

TEST_F(Independence, OfTheOtherSegments) {
  for (const Case& c : all_cases())
    for (const bool training : c.passes()) {
      SCOPED_TRACE(c.name + (training ? ", training" : ""));
      Batch batch = text_batch(6, kBlock, 3);
      batch.segment_BT = at::full({6, kBlock}, 7, at::TensorOptions(at::kLong));
      batch.segment_BT.narrow(1, 4, 3).fill_(2);
      batch.position_BT = Rows(batch).position_R.view({6, kBlock});
      const Subject s = subject(c, batch, at::kDouble, training);
      const WalkOptions options = walk_options(training);
      const Seen together = look(s.walk(), s.program(), batch, options);
      // The third part is of the first one's segment: they see each other, but nothing between.
      batch.segment_BT.narrow(1, 7, 2).fill_(9);
      const Seen apart = look(s.walk(), s.program(), batch, options);
      for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 4}, {4, 3}, {7, 2}}) {
        Batch part = positions(batch, first, count);
        part.segment_BT = Tensor();
        const Seen alone = look(s.walk(), s.program(), part, options);
        const Difference d = difference(apart, from(first, count), alone, whole());
        EXPECT_LE(d.largest, kBitsTolerance) << d << ", from " << first;
      }
      const Difference first = difference(together, from(0, 7), apart, from(0, 7));
      EXPECT_TRUE(first.largest <= 0 || !c.grows()) << first;
      const bool windows = !c.config.early_exit.layer_contexts.empty();
      EXPECT_TRUE(difference(together, from(7, 2), apart, from(7, 2)).largest > 0 || windows);
    }
}

// Tokens that are not there may be any.
TEST_F(Independence, OfPositionsThatAreNotThere) {
  for_each([](const Subject& s, const Batch& batch, bool training) {
    if (!batch.valid_BT.defined()) return;
    const Tensor invalid_BT = batch.valid_BT.logical_not();
    Batch changed = batch;
    changed.tokens_BT =
        at::where(invalid_BT, (batch.tokens_BT + 3).remainder(kVocab), batch.tokens_BT);
    const WalkOptions options = walk_options(training);
    const Part there = [&](const Tensor& x) {
      EXPECT_TRUE(x.to(at::kDouble).isfinite().all().item<bool>());
      return x.to(at::kDouble).masked_fill(invalid_BT.unsqueeze(2), 0);
    };
    const Seen one = look(s.walk(), s.program(), batch, options),
               two = look(s.walk(), s.program(), changed, options);
    const Difference d = difference(one, there, two, there);
    // An experiment's functions may take rows by what their tokens are, and a product rounds
    // together those that are taken.
    EXPECT_LE(d.largest, s.config.architecture == nullptr ? 0 : kBitsTolerance) << d;
    EXPECT_GT(difference(one, whole(), two, whole()).largest, 0);
  });
}

// Nor does it matter whether they are in the batch at all.
TEST_F(Independence, OfWhetherAbsentPositionsAreSaid) {
  for_each([](const Subject& s, const Batch& batch, bool training) {
    if (!batch.valid_BT.defined()) return;
    WalkOptions options = walk_options(training);
    const Seen all = look(s.walk(), s.program(), batch, options);
    for (int64_t b = 0; b < batch.tokens_BT.size(0); ++b) {
      options.random = RandomField(5, 1, b);
      const Tensor there = batch.valid_BT.select(0, b).nonzero().squeeze(1);
      Batch shorter = map_columns(sequences(batch, b, 1),
                                  [&](const Tensor& x) { return x.index_select(1, there); });
      shorter.valid_BT = Tensor();
      const Part kept = [&](const Tensor& x) { return x.narrow(0, b, 1).index_select(1, there); };
      const Difference d =
          difference(all, kept, look(s.walk(), s.program(), shorter, options), whole());
      EXPECT_LE(d.largest, kBitsTolerance) << d << ", sequence " << b;
    }
  });
}

TEST_F(Independence, PositionsThatAreNotThereNeverHalt) {
  for_each([](const Subject& s, const Batch& batch, bool training) {
    const bool halts = s.config.halting.acts();
    if (!batch.valid_BT.defined() || !halts) return;
    const at::NoGradGuard no_grad;
    WalkOptions options = walk_options(training);
    const bool may_skip = s.config.halting.mask_history == MaskHistory::kCumulative;
    for (const bool skip : may_skip ? std::vector<bool>{false, true} : std::vector<bool>{false}) {
      options.skip = skip;
      const Trace trace = s.walk().run(s.program(), batch, options);
      for (const StepRecord& r : trace.steps) {
        const Tensor invalid_R = r.rows->valid_R.logical_not();
        if (r.decision.halts_R.defined()) {
          EXPECT_EQ(r.decision.halts_R.logical_and(invalid_R).sum().item<int64_t>(), 0);
        }
        EXPECT_EQ(invalid_R.sum().item<int64_t>(),
                  batch.valid_BT.logical_not().sum().item<int64_t>());
      }
    }
  });
}

// Whether a position has a target is none of the walk's business, except for gold scores.
TEST_F(Independence, OfTargets) {
  for_each([](const Subject& s, const Batch& batch, bool training) {
    if (training && s.config.halting.rule == HaltRule::kGold) return;
    const WalkOptions options = walk_options(training);
    Seen with = look(s.walk(), s.program(), batch, options);
    Batch untargeted = batch;
    untargeted.targets_BT = Tensor();
    const Seen without = look(s.walk(), s.program(), untargeted, options);
    for (auto it = with.begin(); it != with.end();)
      it = it->first.rfind("target ln_p", 0) == 0 ? with.erase(it) : std::next(it);
    const Difference d = difference(with, whole(), without, whole());
    EXPECT_LE(d.largest, 0) << d;
  });
}

}  // namespace
}  // namespace fathom::property
