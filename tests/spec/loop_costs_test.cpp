// What a training step of a looped model costs, told beforehand.
#include <gtest/gtest.h>

#include "spec/looped_model.h"

namespace fathom {
namespace {

using testing::kLoopVocab;
using testing::model_with;
using testing::Settings;

TEST(LoopCosts, AreOfTheMeanCountAndMemoryOfTheLargest) {
  const auto flops = [](Settings settings) {
    settings.emplace_back("loop_groups", "[[1], [2, [3]]]");
    return flops_per_token(model_with(settings), kLoopVocab, 8).forward();
  };
  // Counts that are drawn independently: the mean over all of them.
  double mean = 0;
  for (const int a : {1, 2, 3})
    for (const int b : {1, 2, 3})
      for (const int c : {1, 2, 3})
        mean += flops({{"loop_sampling_strategy", "fixed"},
                       {"loop_counts", "[" + std::to_string(a) + "," + std::to_string(b) + "," +
                                           std::to_string(c) + "]"}}) /
                27;
  EXPECT_NEAR(flops({{"max_loops", "3"}}), mean, 1e-9 * mean);
  const auto memory = [](Settings settings) {
    settings.emplace_back("loop_groups", "[[1]]");
    return training_memory(model_with(settings), kLoopVocab, 2, 8).activations;
  };
  const auto of_count = [&](const char* count) {
    return memory({{"loop_sampling_strategy", "fixed"}, {"max_loops", count}});
  };
  EXPECT_EQ(memory({{"max_loops", "9"}}), of_count("9"));
  EXPECT_EQ(memory({{"max_loops", "9"}, {"loop_sample_clamp", "4"}}), of_count("4"));
  EXPECT_EQ(memory({{"max_loops", "9"}, {"loops_backprop_depth", "3"}}), of_count("3"));
  EXPECT_EQ(memory({{"max_loops", "2"}, {"loops_backprop_depth", "3"}}), of_count("2"));
}

// Each row's last answer alone is read where the objective asks for no other, and gradients go
// through the last iterations.
TEST(LoopCosts, AreOfAnswersThatAreReadAndGradientsThatThereAre) {
  const auto at_the_end = [](Settings settings) {
    settings.emplace_back("loop_groups", "[[4, 5]]");
    return model_with(settings);
  };
  const auto flops = [&](const Settings& settings) {
    return flops_per_token(at_the_end(settings), kLoopVocab, 8);
  };
  const auto fixed = [](const char* count, Settings more = {}) {
    more.emplace_back("loop_sampling_strategy", "fixed");
    more.emplace_back("loop_counts", std::string("[") + count + "]");
    return more;
  };
  const double head = 2.0 * 20 * kLoopVocab;
  for (const char* count : {"1", "2", "5"}) EXPECT_EQ(flops(fixed(count)).head, head) << count;
  for (const char* most : {"1", "2", "6", "7"}) EXPECT_EQ(flops({{"max_loops", most}}).head, head);
  EXPECT_EQ(flops(fixed("3", {{"layer_supervision", "all"}})).head, (4 + 2 * 3) * head);
  EXPECT_EQ(flops({{"max_loops", "4"}, {"layer_supervision", "all"}}).head, (4 + 2 * 2.5) * head);
  const Flops whole = flops(fixed("4")), cut = flops(fixed("4", {{"loops_backprop_depth", "1"}}));
  const double iteration = whole.forward() - flops(fixed("3")).forward();
  EXPECT_EQ(whole.training(), 3 * whole.forward());
  EXPECT_EQ(cut.forward(), whole.forward());
  EXPECT_EQ(cut.training(), whole.training() - 3 * 2 * iteration);
  EXPECT_DOUBLE_EQ(flops({{"max_loops", "7"}, {"loops_backprop_depth", "1"}}).training(),
                   cut.training());
  EXPECT_DOUBLE_EQ(flops({{"max_loops", "8"}, {"loops_backprop_depth", "1"}}).training(),
                   cut.training() + iteration / 2);
  // Nor is what is not read kept for backward.
  const auto of_vocabulary = [&](const char* count) {
    const ModelConfig model = at_the_end(fixed(count));
    return training_memory(model, 2 * kLoopVocab, 2, 8).activations -
           training_memory(model, kLoopVocab, 2, 8).activations;
  };
  EXPECT_EQ(of_vocabulary("3"), of_vocabulary("1"));
}

}  // namespace
}  // namespace fathom
