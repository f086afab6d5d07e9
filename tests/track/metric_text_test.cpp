// Metrics as a log line shows them.
#include "fathom/track/metric_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace fathom {
namespace {

using ::testing::HasSubstr;
using Metrics = std::map<std::string, double>;

TEST(MetricsText, IsTheHeadersExample) {
  EXPECT_EQ(metrics_text({{"infer", 1.86331},
                          {"exit_rate/0", 0.0561},
                          {"exit_rate/1", 0.0229},
                          {"exit_rate/2", 0.0081},
                          {"exit_rate/3", 0.9129}}),
            "infer 1.8633, exit_rate [0.056 0.023 0.008 0.913]");
}

TEST(MetricsText, ANameWithASlashAndNoNumberIsNoList) {
  EXPECT_EQ(metrics_text({{"a/b", 1}, {"a/-1", 2}, {"a/", 3}}),
            "a/ 3.0000, a/-1 2.0000, a/b 1.0000");
}

TEST(MetricsText, OfNothingIsNothing) {
  EXPECT_EQ(metrics_text({}), "");
}

TEST(MetricsText, SharesHaveThreeDecimalsAndOthersFour) {
  for (const char* share : {"accuracy", "exit_rate", "exit_correct", "exit_confident_last",
                            "exit_fallback", "layer_accuracy", "earlystop"})
    EXPECT_EQ(metrics_text({{share, 0.12345}}), std::string(share) + " 0.123");
  for (const char* other : {"infer", "objective", "exit_depth", "layer_loss"})
    EXPECT_EQ(metrics_text({{other, 0.12345}}), std::string(other) + " 0.1235");
  EXPECT_EQ(metrics_text({{"layer_accuracy/0", 0.5}, {"layer_loss/0", 0.5}}),
            "layer_accuracy [0.500], layer_loss [0.5000]")
      << "inside lists as well";
}

TEST(MetricsText, NamesAreInOrderAndListsLast) {
  EXPECT_EQ(metrics_text({{"b", 2}, {"a/0", 1}, {"c", 3}, {"aa", 4}}),
            "aa 4.0000, b 2.0000, c 3.0000, a [1.0000]");
}

TEST(MetricsText, AListIsInTheOrderOfItsNumbers) {
  Metrics metrics;
  for (int i = 0; i < 12; ++i) metrics["x/" + std::to_string(i)] = i;
  const std::string text = metrics_text(metrics);
  EXPECT_THAT(text, HasSubstr("[0.0000 1.0000 2.0000 3.0000"));
  EXPECT_THAT(text, HasSubstr("9.0000 10.0000 11.0000]")) << "10 is not between 1 and 2";
}

// Of readouts in loops: a layer's number and its iterations.
TEST(MetricsText, AListMayHavePlacesInLoops) {
  EXPECT_EQ(metrics_text({{"x/0", 1}, {"x/1.0", 2}, {"x/1.10", 4}, {"x/1.2", 3}, {"x/2", 5}}),
            "x [0: 1.0000, 1.0: 2.0000, 1.2: 3.0000, 1.10: 4.0000, 2: 5.0000]");
  const auto lists = lists_of({{"x/3.0.1", 7}, {"x/", 1}, {"x/1.", 1}, {"x/.1", 1}, {"x/1.-1", 1}});
  ASSERT_EQ(lists.size(), 1U);
  EXPECT_EQ(lists.at("x"), (std::map<ListPlace, double>{{{3, 0, 1}, 7}}));
  EXPECT_EQ(to_text(ListPlace{3, 0, 1}), "3.0.1");
}

// Metrics of loops: by the layers that go round.
TEST(MetricsText, AListMayBeOfGroupsOfLayers) {
  EXPECT_EQ(metrics_text({{"loops/layer_10", 1}, {"loops/layers_2-3", 2}, {"loops/layer_2", 3}}),
            "loops [layer 2: 3.0000; layers 2-3: 2.0000; layer 10: 1.0000]");
  EXPECT_EQ(metrics_text({{"loop_exits/layer_4.10", 2},
                          {"loop_exits/layer_4.2", 1},
                          {"loop_exits/layer_4_inner.1", 3},
                          {"a", 4}}),
            "a 4.0000, loop_exits [layer 4, inner.1: 3.0000; layer 4.2: 1.0000; layer 4.10: "
            "2.0000]");
  EXPECT_EQ(metrics_text({{"x/layer_", 1}, {"x/layered_1", 2}}),
            "x/layer_ 1.0000, x/layered_1 2.0000");
  EXPECT_FALSE(is_detail("loop_iterations/layers_1-2"));
  EXPECT_FALSE(is_detail("loop_exits/layer_4.3"));
  EXPECT_TRUE(lists_of({{"loops/layer_1", 1}}).empty());
}

TEST(MetricsText, AListMayHaveGapsAndStandAlone) {
  EXPECT_EQ(metrics_text({{"layer_loss/1", 1}, {"layer_loss/3", 2}}),
            "layer_loss [1: 1.0000, 3: 2.0000]");
  EXPECT_EQ(metrics_text({{"x/0", 1}, {"x/2", 2}}), "x [0: 1.0000, 2: 2.0000]");
  EXPECT_EQ(metrics_text({{"x/2", 2}}), "x [2: 2.0000]");
  EXPECT_EQ(metrics_text({{"a/0", 1}, {"b/0", 2}}), "a [1.0000], b [2.0000]");
}

TEST(MetricsText, AListAndANumberOfOneNameAreBothShown) {
  EXPECT_EQ(metrics_text({{"loss", 1}, {"loss/0", 2}}), "loss 1.0000, loss [2.0000]");
}

TEST(MetricsText, NegativeHugeAndMissingNumbersAreShown) {
  EXPECT_EQ(metrics_text({{"x", -1.5}}), "x -1.5000");
  EXPECT_EQ(metrics_text({{"x", 1e6}}), "x 1000000.0000");
  EXPECT_EQ(metrics_text({{"x", std::nan("")}}), "x nan");
}

TEST(MetricText, PartsGroupsBaselinesAndLayersAreDetails) {
  for (const char* name : {"accuracy.words", "a.ops2", "norms/mean", "accuracy_baseline",
                           "layer_loss/0", "layer_loss/2.0", "exit_correct/1", "exit_depth"})
    EXPECT_TRUE(is_detail(name)) << name;
  for (const char* name : {"accuracy", "infer", "exit_rate/0", "x/2.0", "execution_0.01",
                           "execution_1e-6", "baseline", "_baseline", ""})
    EXPECT_FALSE(is_detail(name)) << name;
}

}  // namespace
}  // namespace fathom
