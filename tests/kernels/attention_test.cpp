#include <gmock/gmock.h>

#include "kernels/attention_on_paper.h"

namespace fathom {
namespace {

class AttentionTest : public ::testing::TestWithParam<Isa> {
 protected:
  const ChosenIsa isa_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Every, AttentionTest, ::testing::ValuesIn(usable_isas()), name_of_isa);

TEST_P(AttentionTest, EqualsTheFormulasOnPaper) {
  const PaperCase cases[] = {
      {1, 1, 1, 1, 1, 1, PaperCase::kCausal},
      {2, 20, 20, 2, 8, 8, PaperCase::kCausal},
      {1, 65, 65, 3, 32, 32, PaperCase::kCausal},
      {2, 37, 37, 2, 20, 24, PaperCase::kCausal, 0.3},
      {1, 130, 130, 1, 64, 64, PaperCase::kWindow},
      {2, 130, 130, 1, 16, 16, PaperCase::kWindow, 0.5},
      {1, 9, 50, 2, 24, 40, PaperCase::kEverything},
      {1, 1, 100, 2, 32, 32, PaperCase::kEverything},
      {2, 60, 60, 2, 16, 16, PaperCase::kRandom},
      {3, 33, 33, 2, 16, 16, PaperCase::kRandom, 0.2},
      {2, 60, 60, 2, 16, 16, PaperCase::kHidden},
      {3, 33, 33, 2, 16, 16, PaperCase::kHiddenNotOwn, 0.2},
      {2, 3, 50, 2, 20, 20, PaperCase::kHiddenNotOwn},
      {1, 900, 900, 1, 8, 8, PaperCase::kHiddenNotOwn},
      {2, 5, 5, 2, 16, 16, PaperCase::kNothing},
      {1, 900, 900, 1, 16, 16, PaperCase::kCausal, 0.1},
      {1, 800, 800, 1, 8, 8, PaperCase::kRandom},
      {0, 4, 4, 1, 8, 8, PaperCase::kCausal},
      {2, 0, 4, 1, 8, 8, PaperCase::kCausal},
  };
  for (const PaperCase& c : cases) expect_paper(c);
}

// Scores of hundreds, all of them negative: their exponentials are no numbers.
TEST_P(AttentionTest, TakesLargeScores) {
  OnPaper problem({1, 33, 33, 1, 8, 8, PaperCase::kCausal});
  for (float& x : problem.q) x = 300;
  for (float& x : problem.kv) x = -std::fabs(x);
  problem.run();
  const OnPaper::Answer answer = problem.on_paper();
  EXPECT_LT(distance(problem.out, answer.out), 1e-5);
  EXPECT_LT(distance(problem.d_kv, answer.d_kv), 1e-3);  // one unit of such a score is 1e-4 of it
}

// A query's bits do not depend on which others are asked with it, nor on how keys lie: a few
// queries of turned keys are computed in another way than others.
TEST_P(AttentionTest, QueryStandsAlone) {
  Numbers numbers(5);
  const int64_t H = 2;
  for (const int64_t K : {40, 900})
    for (const int64_t D : {16, 20, 64, 100}) {
      SCOPED_TRACE(fmt::format("{} keys, {} wide", K, D));
      const int64_t Q = 12, C = H * D;
      std::vector<float> q = numbers.draw(Q * C), k = numbers.draw(K * C), v = numbers.draw(K * C);
      std::vector<KeyRange> ranges;
      std::vector<uint8_t> blocked;
      for (int32_t i = 0; i < Q; ++i) {
        const auto first = int32_t(i * 37 % K), last = int32_t(K - i * 3);
        ranges.push_back(i == 4 || first >= last ? KeyRange{} : KeyRange{first, last});
        for (int64_t j = 0; j < K; ++j) blocked.push_back((i * 5 + j) % 7 == 3 || i == 8);
      }
      AttentionProblem p;
      p.B = 1, p.Q = Q, p.K = K, p.H = H, p.D = p.E = D;
      p.q = {q.data(), 0, C}, p.k = {k.data(), 0, C}, p.v = {v.data(), 0, C};
      p.ranges = ranges.data();
      p.blocked = blocked.data();
      std::vector<float> all(size_t(Q * C)), lse(size_t(Q * H));
      attention_forward(p, {all.data(), 0, C}, lse.data());
      const TurnedKeys turned(p);
      for (const int64_t n : {1, 2, 4, 5})
        for (int64_t i = 0; i + n <= Q; ++i) {
          AttentionProblem few = i % 4 == 3 ? p : turned.problem();
          few.Q = n;
          few.q.data += i * C;
          few.ranges += i;
          few.blocked += i * K;
          std::vector<float> out(size_t(n * C));
          attention_forward(few, {out.data(), 0, C}, lse.data());
          ASSERT_EQ(out, std::vector<float>(all.begin() + i * C, all.begin() + (i + n) * C))
              << n << " from " << i;
        }
    }
}

// Whatever was in the working memory before.
TEST_P(AttentionTest, QueryWithoutAKeyHasZerosWhereMemoryHadNone) {
  const int64_t T = 3, D = 20;
  std::vector<float> numbers_that_are_none(size_t(T * D), __builtin_nanf("")), out(size_t(T * D)),
      lse(static_cast<size_t>(T)), ones(size_t(T * D), 1.0f);
  const std::vector<KeyRange> all(size_t(T), KeyRange{0, T}), none_of_first = {{}, {0, 2}, {}};
  AttentionProblem p;
  p.B = 1, p.Q = p.K = T, p.H = 1, p.D = p.E = D;
  for (const bool turned : {false, true}) {
    const auto forward = [&] {
      attention_forward(turned ? TurnedKeys(p).problem() : p, {out.data(), 0, D}, lse.data());
    };
    p.q = p.k = p.v = {numbers_that_are_none.data(), 0, D};
    p.ranges = all.data();
    forward();
    ASSERT_TRUE(std::isnan(out.front()));
    p.q = p.k = p.v = {ones.data(), 0, D};
    p.ranges = none_of_first.data();
    forward();
    for (int64_t i = 0; i < T * D; ++i) EXPECT_EQ(out[size_t(i)], i / D == 1 ? 1 : 0) << i;
  }
}

}  // namespace
}  // namespace fathom
