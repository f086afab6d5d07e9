#include "fathom/train/recipe/stage.h"

#include <gmock/gmock.h>

#include "errors.h"

namespace fathom {
namespace {

using testing::caught;
using ::testing::HasSubstr;
using Unit = Budget::Unit;

TEST(Budget, IsDoneByItsUnit) {
  const Progress p = {/*samples=*/40, /*samples_before=*/30, /*tokens=*/500, /*seconds=*/90};
  EXPECT_EQ(done({Unit::kSteps, 8}, 4, p, {}), 0.5);
  EXPECT_EQ(done({Unit::kSamples, 160}, 4, p, {}), 0.25);
  EXPECT_EQ(done({Unit::kTokens, 250}, 4, p, {}), 2);
  EXPECT_EQ(done({Unit::kMinutes, 3}, 4, p, {}), 0.5);
  EXPECT_EQ(done({Unit::kEpochs, 0.5}, 4, p, 100), 0.8);
  EXPECT_EQ(done({Unit::kSteps, 0}, 0, {}, {}), 1) << "nothing is to be done";
  EXPECT_THAT(caught([&] { done({Unit::kEpochs, 1}, 4, p, {}); }).what(), HasSubstr("epochs"));
}

TEST(Budget, IsSaid) {
  EXPECT_EQ(to_text({Unit::kSteps, 500}), "500 steps");
  EXPECT_EQ(to_text({Unit::kEpochs, 0.5}), "0.5 epochs");
  EXPECT_EQ(to_text({Unit::kMinutes, 1}), "1 minute");
}

TEST(Progress, OfAStageIsWhatCameAfterItsStart) {
  const Progress p = since({10, 8, 100, 1}, {40, 30, 500, 90});
  EXPECT_EQ(p.samples, 30);
  EXPECT_EQ(p.samples_before, 20);
  EXPECT_EQ(p.tokens, 400);
  EXPECT_EQ(p.seconds, 89);
}

}  // namespace
}  // namespace fathom
