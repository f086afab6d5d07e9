// How times are summed up.
#include "fathom/study/bench/times.h"

#include <gtest/gtest.h>

namespace fathom::testing {
namespace {

// A step with ten times the work that takes ten times as long: as fast as the others.
TEST(BenchTimes, RatesAreOfEachRepeatsOwnWork) {
  EXPECT_EQ(median_rate({10, 1, 10}, {10, 1, 1}), 1);
  EXPECT_EQ(median_rate({20, 4, 2, 60}, {10, 2, 1, 10}), 2);
  EXPECT_EQ(median_rate({6}, {2}), 3);
}

TEST(BenchTimes, QuantilesAreOfTheRepeats) {
  EXPECT_EQ(quantile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(quantile({3, 1, 2}, 0.1), 1);
  EXPECT_EQ(quantile({4, 1, 3, 2}, 0.5), 2);
  EXPECT_EQ(quantile({5, 1}, 0.9), 5);
}

}  // namespace
}  // namespace fathom::testing
