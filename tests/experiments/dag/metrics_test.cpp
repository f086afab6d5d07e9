// Metrics of programs, and what is reached without looking at the text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "experiments/dag/baselines.h"
#include "experiments/dag/metrics.h"
#include "experiments/dag/programs.h"

namespace fathom::testing::dag_metrics {
namespace {

using namespace fathom::dag;
using ::testing::ElementsAre;

constexpr Operation kPlus = Operation::kAdd, kMinus = Operation::kSubtract,
                    kTimes = Operation::kMultiply, kOver = Operation::kDivide,
                    kKeep = Operation::kIdentity;

using Metrics = std::map<std::string, Metric>;

Metrics metrics_of(const Batch& batch, const Recorded& seen, const DagSettings& settings,
                   bool details = true) {
  const AskedPrograms asked = asked_of(batch, settings.targets);
  return program_metrics(said_of(seen, asked, batch, settings), targets_of(batch, asked, settings),
                         asked, settings, details);
}
double mean(const Metrics& metrics, const std::string& name) {
  const Metric& m = metrics.at(name);
  return m.sum / m.count;
}

std::vector<Written> four_sequences() {
  return {{{2, 3, 4}, {kPlus, kTimes}, 14},
          {{6, -0.5, 0}, {kKeep, kMinus}, 6.5, {1, 1, 0}, 1, Wording::kWords},
          {{-1, 8, 2}, {kOver, kTimes}, -4, {1, 1, 1}, 2, Wording::kMixed},
          {{1, 2, 0}, {kKeep, kPlus}, 3, {1, 1, 0}, 1}};
}

TEST(ProgramMetrics, OfTheRightProgramsAreRight) {
  const Batch batch = batch_of_programs(four_sequences(), 2);
  const Metrics metrics = metrics_of(batch, knows(batch, stack_settings()), stack_settings());
  for (const char* name : {"op_accuracy", "full_program_match", "sign_accuracy", "execution_1e-6",
                           "execution_0.01", "result_sign_accuracy"})
    EXPECT_EQ(mean(metrics, name), 1) << name;
  for (const char* name : {"magnitude_error", "log_mse"})
    EXPECT_NEAR(mean(metrics, name), 0, 1e-6) << name;
  EXPECT_EQ(metrics.at("op_accuracy").count, 16) << "two tokens each";
  EXPECT_EQ(metrics.at("log_mse").count, 20) << "what is used";
  EXPECT_EQ(mean(metrics, "op_target.identity"), 0.25);
  // Of one value more than they need, filled up by identities.
  const Metrics deeper = metrics_of(batch, knows(batch, stack_settings(4)), stack_settings(4));
  EXPECT_EQ(mean(deeper, "execution_1e-6"), 1);
  EXPECT_EQ(mean(deeper, "op_target.identity"), 0.625);
}

TEST(ProgramMetrics, AreOfWhatIsWrong) {
  const Batch batch = batch_of_programs(four_sequences(), 2);
  Recorded seen = knows(batch, stack_settings());
  // 2 * (3 - 4) in the place of 2 * (3 + 4), at both of its tokens.
  for (const int64_t row : {2, 3})
    seen.op_RX[row].narrow(0, 0, 5).copy_(tensor_of({0.1, 0.8, 0.1, 0, 0}, {5}));
  // -6 for 6 and 1.005 for 1.
  seen.values_RV.sign[7][0] = -0.2;
  for (const int64_t row : {14, 15}) seen.values_RV.log[row][0] += std::log(1.005);
  const Metrics metrics = metrics_of(batch, seen, stack_settings());
  EXPECT_EQ(mean(metrics, "op_accuracy"), 14. / 16);
  EXPECT_EQ(mean(metrics, "full_program_match"), 6. / 8);
  EXPECT_EQ(mean(metrics, "sign_accuracy"), 19. / 20);
  EXPECT_NEAR(mean(metrics, "magnitude_error"), 2 * 0.005 / 20, 1e-7);
  EXPECT_NEAR(mean(metrics, "log_mse"), 2 * std::pow(std::log(1.005), 2) / 20, 1e-8);
  EXPECT_EQ(mean(metrics, "execution_1e-6"), 3. / 8);
  EXPECT_EQ(mean(metrics, "execution_0.01"), 5. / 8) << "3.005 is near enough";
  EXPECT_EQ(mean(metrics, "result_sign_accuracy"), 5. / 8) << "-2 and -5.5";
  EXPECT_EQ(mean(metrics, "op_accuracy.add"), 2. / 4);
  EXPECT_EQ(mean(metrics, "op_accuracy.multiply"), 1);
  EXPECT_EQ(mean(metrics, "execution_0.01.add"), 2. / 4);
  EXPECT_EQ(mean(metrics, "op_accuracy.ops2"), 6. / 8);
  EXPECT_EQ(mean(metrics, "execution_0.01.ops1"), 3. / 4);
  EXPECT_EQ(mean(metrics, "execution_0.01.words"), 1. / 2);
  EXPECT_EQ(mean(metrics, "execution_0.01.mixed"), 1);
  EXPECT_EQ(mean(metrics, "sign_accuracy.symbols"), 1);
}

TEST(ProgramMetrics, SplitsAddUp) {
  const Batch batch = batch_of_programs(four_sequences(), 2);
  const Metrics metrics = metrics_of(batch, knows(batch, stack_settings()), stack_settings());
  for (const std::string name : {"op_accuracy", "log_mse", "execution_0.01_baseline"}) {
    const auto sum = [&](std::initializer_list<const char*> groups) {
      double count = 0;
      for (const char* group : groups) count += metrics.at(name + group).count;
      return count;
    };
    EXPECT_EQ(sum({".ops1", ".ops2"}), metrics.at(name).count);
    EXPECT_EQ(sum({".symbols", ".mixed", ".words"}), metrics.at(name).count);
  }
  const Metrics few = metrics_of(batch, knows(batch, stack_settings()), stack_settings(), false);
  EXPECT_EQ(few.size(), 8U) << "no more while it trains";
}

// 3 - 3.003 is none of 0's hundredth; of the other results all are.
TEST(ProgramMetrics, ExecutionIsToldOfResultsOtherThanZero) {
  std::vector<Written> sequences = four_sequences();
  sequences.push_back({{3, 3, 0}, {kKeep, kMinus}, 0, {1, 1, 0}, 1});
  const Batch batch = batch_of_programs(sequences, 2);
  Recorded seen = knows(batch, stack_settings());
  for (const int64_t row : {18, 19}) seen.values_RV.log[row][1] += std::log(1.001);
  const Metrics metrics = metrics_of(batch, seen, stack_settings());
  EXPECT_EQ(mean(metrics, "execution_0.01"), 8. / 10);
  EXPECT_EQ(mean(metrics, "execution_0.01.nonzero"), 1);
  EXPECT_EQ(mean(metrics, "execution_1e-6.nonzero"), 1);
  EXPECT_EQ(metrics.at("execution_0.01.nonzero").count, 8) << "four programs at two tokens each";
  EXPECT_EQ(metrics.count("execution_0.01_baseline.nonzero"), 1U);
  EXPECT_EQ(metrics.count("op_accuracy.nonzero"), 0U);
}

// Labels that are all alike are what a constant knows.
TEST(ProgramMetrics, ABaselineIsTheConstantOfTheOthers) {
  const Written a = {{2, -3, 4}, {kPlus, kTimes}, 2}, b = {{5, 6, 7}, {kOver, kMinus}, 5 - 6. / 7};
  const auto of = [&](const std::vector<Written>& sequences) {
    const Batch batch = batch_of_programs(sequences, 2);
    return metrics_of(batch, knows(batch, stack_settings()), stack_settings());
  };
  const Metrics same = of({a, a, a});
  for (const char* name : {"op_accuracy", "full_program_match", "sign_accuracy", "execution_1e-6",
                           "execution_0.01", "result_sign_accuracy"})
    EXPECT_EQ(mean(same, std::string(name) + "_baseline"), 1) << name;
  EXPECT_NEAR(mean(same, "log_mse_baseline"), 0, 1e-9);
  EXPECT_NEAR(mean(same, "magnitude_error_baseline"), 0, 1e-6);
  // Even sequences are a, odd ones b: what the others teach is always wrong.
  const Metrics other = of({a, b, a, b});
  for (const char* name : {"op_accuracy", "full_program_match", "execution_0.01"})
    EXPECT_EQ(mean(other, std::string(name) + "_baseline"), 0) << name;
  EXPECT_NEAR(mean(other, "sign_accuracy_baseline"), 2. / 3, 1e-9);
  const double squares =
      std::pow(std::log(2. / 5), 2) + std::pow(std::log(3. / 6), 2) + std::pow(std::log(4. / 7), 2);
  EXPECT_NEAR(mean(other, "log_mse_baseline"), squares / 3, 1e-6);
  EXPECT_EQ(of({a}).count("op_accuracy_baseline"), 0U) << "there are no others";
}

// In batches of four, choosing by the same sequences would reach more than half.
TEST(ProgramMetrics, ABaselineIsNotBetterThanChance) {
  std::mt19937_64 generator(7);
  std::uniform_int_distribution<int64_t> draw(0, 4);
  Metric hits;
  for (int i = 0; i < 1000; ++i) {
    TruePrograms truth;
    truth.P = 4, truth.D = 1;
    truth.result = {1, 2, 3, 4};
    for (int64_t p = 0; p < 4; ++p)
      truth.op.push_back(draw(generator)), truth.sequence.push_back(p), truth.number.push_back(p);
    const auto guesses = constant_guesses(truth);
    for (size_t p = 0; p < 4; ++p) hits += {guesses.at(p % 2)->op[0] == truth.op[p] ? 1. : 0., 1};
  }
  EXPECT_NEAR(hits.sum / hits.count, 0.2, 0.02);
}

TEST(ProgramMetrics, AResultIsRightWithinItsTolerance) {
  EXPECT_TRUE(is_right(100.9, 100, 1e-2));
  EXPECT_FALSE(is_right(101.1, 100, 1e-2));
  EXPECT_FALSE(is_right(100.001, 100, 1e-6));
  EXPECT_TRUE(is_right(0.5e-6, 0, 1e-6));
  EXPECT_FALSE(is_right(std::numeric_limits<double>::quiet_NaN(), 1, 1e-2));
  EXPECT_FALSE(is_right(std::numeric_limits<double>::infinity(), 1, 1e-2));
}

TEST(ProgramMetrics, AStackIsExecutedFromItsTop) {
  ReadPrograms read;
  read.P = 1, read.V = 3, read.D = 2;
  read.sign = {1, 1, -1};
  read.log = {std::log(7), std::log(3), std::log(4)};
  read.op = {1, 2};  // subtract, multiply: 7 * (3 - -4)
  const std::vector<double> steps = hard_steps(read, 0, stack_settings());
  EXPECT_NEAR(steps.at(0), 7, 1e-12);
  EXPECT_NEAR(steps.at(1), 49, 1e-12);
}

TEST(ProgramMetrics, AListIsExecutedByItsOperands) {
  ReadPrograms read;
  read.P = 1, read.V = 1, read.D = 3;
  read.sign = {-1};
  read.log = {std::log(3)};
  read.op = {0, 2, 3};  // of add, identity, multiply, subtract
  read.operand1 = {0, 1, 0}, read.operand2 = {0, 0, 2};
  const std::vector<double> steps = hard_steps(read, 0, list_settings(3));
  EXPECT_NEAR(steps.at(0), -6, 1e-12);
  EXPECT_NEAR(steps.at(1), 18, 1e-12);
  EXPECT_NEAR(steps.at(2), -21, 1e-12);
}

}  // namespace
}  // namespace fathom::testing::dag_metrics
