// Attention of other forms than softmax over values by head.
#include "kernels/attention_on_paper.h"

namespace fathom {
namespace {

class AttentionFormsTest : public ::testing::TestWithParam<Isa> {
 protected:
  const ChosenIsa isa_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Every, AttentionFormsTest, ::testing::ValuesIn(usable_isas()),
                         name_of_isa);

// Whatever the weights are and whoever shares a value, at widths beyond a k-block, too.
TEST_P(AttentionFormsTest, OtherFormsEqualTheFormulasOnPaper) {
  using F = AttentionForm;
  const PaperCase cases[] = {
      {1, 1, 1, 1, 1, 1, PaperCase::kCausal},
      {1, 65, 65, 3, 24, 72, PaperCase::kCausal},
      {2, 37, 37, 2, 20, 24, PaperCase::kCausal, 0.3},
      {1, 130, 130, 2, 16, 33, PaperCase::kWindow},
      {1, 9, 50, 2, 24, 450, PaperCase::kEverything},
      {2, 33, 33, 2, 16, 32, PaperCase::kRandom, 0.2},
      {2, 60, 60, 2, 16, 32, PaperCase::kHidden},
      {1, 400, 400, 1, 1, 8, PaperCase::kHiddenNotOwn},
      {2, 5, 5, 2, 16, 16, PaperCase::kNothing},
      {0, 4, 4, 1, 8, 8, PaperCase::kCausal},
      {2, 0, 4, 1, 8, 8, PaperCase::kCausal},
  };
  int turn = 0;  // each case with all values, and the weights in turn
  for (PaperCase c : cases) {
    for (const auto values : {F::kByHead, F::kConcat, F::kSum, F::kMean}) {
      c.form = {};
      c.form.values = values;
      c.form.sink = turn % 3 == 0;
      if (turn % 3 == 1) c.form.weights = F::kSigmoid;
      ++turn;
      if (!c.form.usual_heads()) expect_paper(c);
    }
  }
}

// A sequence has the same bits by itself, its heads on several threads, as beside others, each on a
// thread of its own; and a few queries of turned keys have those of many.
TEST_P(AttentionFormsTest, SequenceAndQueryOfOtherFormsStandAlone) {
  using F = AttentionForm;
  const int64_t B = 4, T = 130, H = 3, D = 16;
  for (const auto values : {F::kByHead, F::kConcat, F::kSum}) {
    PaperCase c = {B, T, T, H, D, values == F::kByHead ? 100 : 300, PaperCase::kHiddenNotOwn, 0.1};
    c.form.values = values, c.form.sink = true;
    SCOPED_TRACE(int(values));
    OnPaper all(c);
    all.run();
    const AttentionProblem whole = all.kernel_problem();
    for (int64_t b = 0; b < B; b += 3) {
      c.B = 1;
      OnPaper one(c, 4);
      const auto take = [&](std::vector<float>& to, const std::vector<float>& from) {
        const auto n = static_cast<int64_t>(from.size()) / B;
        to.assign(from.begin() + b * n, from.begin() + (b + 1) * n);
      };
      take(one.q, all.q), take(one.kv, all.kv), take(one.d_out, all.d_out);
      take(one.hidden, all.hidden);
      one.ranges.assign(all.ranges.begin() + b * T, all.ranges.begin() + (b + 1) * T);
      one.own.assign(all.own.begin() + b * T, all.own.begin() + (b + 1) * T);
      one.streams = {all.streams[size_t(b)]};
      for (int64_t& x : one.query_positions) x += b;
      for (int64_t& x : one.key_positions) x += b;
      one.run();
      std::vector<float> out, d_q, d_kv;
      take(out, all.out), take(d_q, all.d_q), take(d_kv, all.d_kv);
      EXPECT_EQ(one.out, out);
      EXPECT_EQ(one.d_q, d_q);
      EXPECT_EQ(one.d_kv, d_kv);
    }
    const TurnedKeys turned(whole);
    for (const int64_t n : {1, 4}) {
      AttentionProblem few = turned.problem();
      few.B = 1, few.Q = n;
      few.q.data += (T - n) * H * D;
      few.ranges += T - n, few.own += T - n;
      few.dropout.query_positions += T - n;
      std::vector<float> out(size_t(n * c.outputs()));
      attention_forward(few, {out.data(), 0, c.outputs()}, nullptr);
      const auto end = all.out.begin() + T * c.outputs();
      EXPECT_EQ(out, std::vector<float>(end - n * c.outputs(), end));
    }
  }
}

}  // namespace
}  // namespace fathom
