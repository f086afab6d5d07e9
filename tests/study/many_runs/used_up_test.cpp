// What numbers of runs are drawn and compared over.
#include "fathom/study/many_runs/used_up.h"

#include <gmock/gmock.h>

#include <cmath>

#include "io/temp_folder.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class UsedUpTest : public ::testing::Test {
 protected:
  UsedUpTest() : store_(folder_ / "fathom.db") {
    const RunHandle run = store_.create_run("run", "e", "");
    // Steps of a second stage are eight times as large; rows of a file have other lengths each.
    for (const auto& [step, tokens] : {std::pair{10, 100.0}, {20, 200.0}, {30, 1000.0}}) {
      const std::vector<MetricValue> values = {{"train/tokens", tokens}};
      store_.add(run, step, values);
    }
  }
  testing::TempFolder folder_;
  RunStore store_;
};

TEST_F(UsedUpTest, IsWhatWasCountedAndNotAMultipleOfTheStep) {
  const UsedUp tokens(store_, "run", "tokens");
  ASSERT_TRUE(tokens.is_known());
  EXPECT_THAT(tokens.at(std::vector<double>{0, 5, 10, 15, 20, 25, 30}),
              ElementsAre(0, 50, 100, 150, 200, 600, 1000));
  EXPECT_TRUE(std::isnan(tokens.at(31))) << "beyond what is known";
  EXPECT_THAT(tokens.at(std::vector<double>{10, 31}), IsEmpty());
}

TEST_F(UsedUpTest, IsUnknownWhereItWasNotStoredUnlessStepsAreAlike) {
  UsedUp flops(store_, "run", "flops");
  EXPECT_FALSE(flops.is_known());
  EXPECT_THAT(flops.at(std::vector<double>{10}), IsEmpty());
  flops.assume_alike(7);
  EXPECT_TRUE(flops.is_known());
  EXPECT_EQ(flops.at(30), 210);
  UsedUp tokens(store_, "run", "tokens");
  tokens.assume_alike(7);
  EXPECT_EQ(tokens.at(30), 1000) << "what was counted stays";
}

}  // namespace
}  // namespace fathom
