// What ranks tell each other, and what becomes of them where one does not answer.
#include "fathom/parallel/ranks.h"

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>

#include "fathom/base/error.h"
#include "fathom/parallel/gradient_sum.h"
#include "model/testing.h"
#include "parallel/rank_threads.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Ranks, AloneHasItsOwnNumbers) {
  Ranks ranks;
  EXPECT_TRUE(ranks.is_alone());
  EXPECT_TRUE(ranks.is_first());
  EXPECT_THAT(ranks.gather("x"), ElementsAre("x"));
  EXPECT_EQ(ranks.sum({{"a", 0.1}}).at("a"), 0.1);
  EXPECT_TRUE(ranks.any(true));
  EXPECT_EQ(ranks.broadcast(0.1), 0.1);
}

TEST(Ranks, HaveTheSameAnswers) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const int size : {2, 3})
    expect_no_errors(on_ranks(size, [&](const std::shared_ptr<Ranks>& ranks) {
      const int rank = ranks->rank();
      const auto n = static_cast<double>(size);
      // Texts of any length, bytes that are no characters among them.
      const auto text_of = [](int r) {
        return std::string(static_cast<size_t>(r) * 3000, 'x') + '\0' + std::to_string(r);
      };
      const std::vector<std::string> texts = ranks->gather(text_of(rank));
      ASSERT_EQ(texts.size(), static_cast<size_t>(size));
      for (int r = 0; r < size; ++r) EXPECT_EQ(texts[static_cast<size_t>(r)], text_of(r));
      EXPECT_EQ(ranks->broadcast("of " + std::to_string(rank), 1), "of 1");
      EXPECT_EQ(ranks->broadcast(rank == 0 ? inf : 1), inf);
      const auto sums = ranks->sum({{"all", 0.1}, {std::to_string(rank), 7}});
      EXPECT_EQ(sums.size(), static_cast<size_t>(size) + 1);
      EXPECT_NEAR(sums.at("all"), n * 0.1, 1e-15);
      EXPECT_EQ(sums.at("1"), 7);
      EXPECT_TRUE(ranks->any(rank == 1));
      EXPECT_FALSE(ranks->any(false));
      const Tensor t = at::full({5}, rank + 1.0, at::kFloat);
      ranks->sum(t);
      EXPECT_EQ(t[4].item<double>(), n * (n + 1) / 2);
      const Tensor there = at::full({3}, rank, at::kLong);
      ranks->broadcast(there, size - 1);
      EXPECT_EQ(there[0].item<int64_t>(), size - 1);
      ranks->barrier();
    }));
}

// Rounded to 8 bits, but summed in 24.
TEST(Ranks, SumInBfloat16) {
  const Tensor numbers = random_normal({1001}, 1).to(at::kFloat);
  std::vector<Tensor> sums(3);
  expect_no_errors(on_ranks(3, [&](const std::shared_ptr<Ranks>& ranks) {
    Tensor flat = numbers * (ranks->rank() + 1.0);
    Tensor whole = flat.clone();
    const auto rounded = ranks->start_sum(flat, Precision::kBFloat16);
    const auto exact = ranks->start_sum(whole);
    rounded->wait();
    exact->wait();
    EXPECT_LT((whole - numbers * 6).abs().max().item<double>(), 1e-5);
    EXPECT_FALSE(flat.equal(whole));
    EXPECT_LT(((flat - whole).abs() / whole.abs().clamp_min(0.1)).max().item<double>(), 0.012);
    sums[static_cast<size_t>(ranks->rank())] = flat;
  }));
  EXPECT_TRUE(sums[0].equal(sums[1]) && sums[0].equal(sums[2]));
}

TEST(Ranks, NameOneThatIsLost) {
  RanksOptions options;
  options.answer = std::chrono::milliseconds(600);
  const std::vector<std::string> errors = on_ranks(
      3,
      [](const std::shared_ptr<Ranks>& ranks) {
        ranks->barrier();
        if (ranks->rank() == 1) fail("its disk is full");
        ranks->barrier();
      },
      options);
  EXPECT_EQ(errors[1], "its disk is full");
  for (const size_t r : {0, 2}) EXPECT_THAT(errors[r], HasSubstr("rank 1 no longer answers"));
}

TEST(Ranks, NameOneThatIsSlow) {
  RanksOptions options;
  options.timeout = std::chrono::milliseconds(1000);
  options.answer = std::chrono::milliseconds(600);
  const std::vector<std::string> errors = on_ranks(
      2,
      [](const std::shared_ptr<Ranks>& ranks) {
        ranks->barrier();
        if (ranks->rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(2600));
        ranks->barrier();
      },
      options);
  EXPECT_THAT(errors[0], HasSubstr("rank 1 no longer answers"));
  EXPECT_NE(errors[1], "");
}

// Longer than a call may take.
TEST(Ranks, AwaitTheFirst) {
  RanksOptions options;
  options.timeout = std::chrono::milliseconds(1000);
  std::atomic<bool> is_written = false;
  expect_no_errors(on_ranks(
      2,
      [&](const std::shared_ptr<Ranks>& ranks) {
        for (int i = 0; i < 2; ++i) {
          if (ranks->is_first() && i == 1) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2500));
            is_written = true;
          }
          ranks->await_first();
        }
        EXPECT_TRUE(is_written);
        ranks->barrier();
      },
      options));
}

// Of two parameters in each bucket, one of which one rank does not reach and one that none does.
TEST(GradientSum, IsThatOfAllRanks) {
  for (const bool watched : {true, false})
    expect_no_errors(on_ranks(2, [&](const std::shared_ptr<Ranks>& ranks) {
      std::vector<Tensor> w;
      for (int i = 0; i < 6; ++i)
        w.push_back(at::full({2, 2}, i + 1.0, at::kFloat).set_requires_grad(true));
      w[4].set_requires_grad(false);
      GradientSum sum(*ranks, w, Precision::kFloat32, {32, 32});
      for (int step = 0; step < 2; ++step) {
        for (Tensor& p : w) p.mutable_grad() = Tensor();
        Tensor loss = (w[5] * w[3] + w[2]).sum() + w[0].sum() * 3.0;
        if (ranks->rank() == 0) loss = loss + w[2].sum();
        if (ranks->rank() == 1) loss = loss - w[0].sum() * 3.0 + w[0].detach().sum();
        if (watched) sum.begin();
        loss.backward();
        sum.finish();
        EXPECT_EQ(w[5].grad()[0][1].item<double>(), 8);
        EXPECT_EQ(w[3].grad()[0][1].item<double>(), 12);
        EXPECT_EQ(w[2].grad()[0][1].item<double>(), 3);
        EXPECT_FALSE(w[1].grad().defined()) << "no rank has one";
        EXPECT_EQ(w[0].grad()[1][1].item<double>(), 3);
        EXPECT_FALSE(w[4].grad().defined());
        EXPECT_EQ(sum.buckets(), 3);
        EXPECT_EQ(sum.buckets_ahead(), watched ? 1 : 0) << "the second has one that never comes";
      }
    }));
}

// A bucket that goes while the backward pass still works for long costs nothing, but for the half
// of a rounded sum that is begun after it; one that a late rank keeps from being summed is waited
// for.
TEST(GradientSum, KnowsWhatItHidAndWhatItWaitedFor) {
  for (const Precision dtype : {Precision::kFloat32, Precision::kBFloat16})
    for (const bool watched : {true, false})
      expect_no_errors(on_ranks(2, [&](const std::shared_ptr<Ranks>& ranks) {
        const bool is_first = ranks->is_first();
        const std::vector<Tensor> w = {at::full({4}, 1.0, at::kFloat).set_requires_grad(true)};
        GradientSum sum(*ranks, w, dtype);
        ranks->barrier();
        std::this_thread::sleep_for(std::chrono::milliseconds(is_first ? 0 : 200));
        if (watched) sum.begin();
        w[0].sum().backward();
        if (watched) std::this_thread::sleep_for(std::chrono::milliseconds(800));
        sum.finish();
        EXPECT_EQ(sum.buckets_ahead(), watched ? 1 : 0);
        EXPECT_GT(sum.seconds_waited(), is_first && !watched ? 0.1 : 0);
        if (!watched) {
          EXPECT_EQ(sum.seconds_hidden(), 0);
          return;
        }
        EXPECT_GT(sum.seconds_hidden(), is_first ? 0.1 : 0) << "the other one came late";
        EXPECT_LT(sum.seconds_hidden(), 0.7) << "not once it is there";
        EXPECT_LT(sum.seconds_waited(), 0.6);
      }));
}

}  // namespace
}  // namespace fathom::testing
