// Metrics of loops are called by layers, and of runs that numbered them by numbers.
#include "fathom/model/spec/loop_metric_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "spec/plans.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;

TEST(LoopMetricNames, AreTheGroupsNamesInOneWord) {
  const LoopGroup inner = loop_of({{block(2, 8)}});
  const DepthPlan plan = plan_of({{block(0, 8)},
                                  {loop_of({{block(1, 8)}, {inner}})},
                                  {loop_of({{loop_of({{block(3, 8)}})}})}});
  EXPECT_THAT(loop_group_keys(plan),
              ElementsAre("layers_1-2", "layer_2", "layer_3", "layer_3_inner"));
  EXPECT_TRUE(loop_group_keys(plan_of({{block(0, 8)}})).empty());
}

TEST(LoopMetricNames, NumbersAreToldFromNames) {
  for (const char* old : {"train/loops/0", "loops/12", "eval/val/loop_iterations/1",
                          "eval/val/loop_saved/0", "eval/a/b/loop_exits/0.3"})
    EXPECT_TRUE(numbers_loop_group(old)) << old;
  for (const char* other : {"train/loops/layer_0", "eval/val/loop_exits/layers_1-2.3",
                            "train/layer_loss/0", "eval/val/loop_depth/1", "loops", "loops/", "",
                            "train/myloops/0", "train/part/loops/0", "part/loops/0"})
    EXPECT_FALSE(numbers_loop_group(other)) << other;
}

TEST(LoopMetricNames, BecomeNumbersAgain) {
  const std::vector<std::string> keys = {"layers_1-2", "layer_2"};
  const auto old = [&](const char* name) { return with_numbered_group(name, keys); };
  EXPECT_EQ(old("train/loops/layers_1-2"), "train/loops/0");
  EXPECT_EQ(old("eval/val/loop_iterations/layer_2"), "eval/val/loop_iterations/1");
  EXPECT_EQ(old("eval/val/loop_exits/layer_2.13"), "eval/val/loop_exits/1.13");
  for (const char* other : {"train/loss", "train/loops/layer_7", "eval/val/layer_loss/layer_2",
                            "train/loops/0", "loops/"})
    EXPECT_EQ(old(other), other);
}

}  // namespace
}  // namespace fathom::testing
