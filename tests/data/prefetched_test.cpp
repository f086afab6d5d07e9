#include "fathom/data/prefetched.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "errors.h"

namespace fathom {
namespace {

using testing::caught;

// Counts up, fails where it is told to, and knows who asked it.
class Counting : public DataSet {
 public:
  explicit Counting(int64_t bad = -1) : bad_(bad) {}
  Drawn next(const Cursor& cursor) const override {
    ++asked;
    if (std::this_thread::get_id() == first_) ++asked_by_caller;
    const int64_t n = cursor["n"];
    if (n == bad_) fail("number " + std::to_string(n) + " is bad");
    TokenBatch batch = empty_batch(1, 1);
    batch.tokens[0] = n;
    return {batch, {{"n", n + 1}}, 1};
  }
  mutable std::atomic<int> asked{0}, asked_by_caller{0};

 private:
  int64_t bad_;
  std::thread::id first_ = std::this_thread::get_id();
};

TEST(Prefetched, AnErrorComesWhereItBelongs) {
  for (const size_t depth : {1u, 4u}) {
    const auto data = std::make_shared<Counting>(3);
    const Prefetched ahead(data, depth);
    Cursor cursor;
    for (int64_t n = 0; n < 3; ++n) {
      const Drawn drawn = ahead.next(cursor);
      EXPECT_EQ(drawn.batch.tokens[0], n);
      cursor = drawn.after;
    }
    for (int i = 0; i < 2; ++i)
      EXPECT_STREQ(caught([&] { ahead.next(cursor); }).what(), "number 3 is bad");
    EXPECT_EQ(ahead.next({{"n", 4}}).batch.tokens[0], 4) << "the data behind it is sound";
    EXPECT_EQ(ahead.next({{"n", 5}}).batch.tokens[0], 5);
  }
}

TEST(Prefetched, OnlyWhatDoesNotFollowIsDrawnByTheCaller) {
  const auto data = std::make_shared<Counting>();
  const Prefetched ahead(data, 2);
  Cursor cursor;
  for (int i = 0; i < 50; ++i) cursor = ahead.next(cursor).after;
  EXPECT_EQ(data->asked_by_caller, 1) << "the first";
  cursor = ahead.next({{"n", 1000}}).after;
  EXPECT_EQ(ahead.next(cursor).batch.tokens[0], 1001);
  EXPECT_EQ(data->asked_by_caller, 2);
}

TEST(Prefetched, AnswersSeveralThreadsAtOnce) {
  const Prefetched ahead(std::make_shared<Counting>(), 3);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      Cursor cursor = {{"n", 1000 * (t / 2)}};  // two of them at the same places
      for (int64_t i = 0; i < 300; ++i) {
        const Drawn drawn = ahead.next(cursor);
        if (drawn.batch.tokens[0] != 1000 * (t / 2) + i) ++wrong;
        cursor = drawn.after;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Prefetched, EndsWhateverItIsAbout) {
  for (int i = 0; i < 50; ++i) {
    const Prefetched ahead(std::make_shared<Counting>(i % 3), 8);
    if (i % 2 == 0) static_cast<void>(ahead.next({{"n", 5}}));
  }
}

}  // namespace
}  // namespace fathom
