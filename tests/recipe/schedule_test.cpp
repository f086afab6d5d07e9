// The learning rate at the points where a schedule can be wrong.
#include "fathom/train/recipe/schedule.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace fathom {
namespace {

RunConfig with_schedule(WarmupForm form) {
  RunConfig c;
  c.optimizer.learning_rate = 1e-3;
  c.schedule.warmup_iters = 100;
  c.schedule.warmup_form = form;
  c.schedule.lr_decay_iters = 1100;
  c.schedule.min_lr = 1e-4;
  c.training.max_iters = 5000;
  return c;
}

TEST(Schedule, ShiftedWarmUp) {
  const RunConfig c = with_schedule(WarmupForm::kShifted);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 0), 1e-3 / 101);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 1), 2e-3 / 101);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 99), 0.1 / 101);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 100), 1e-3);
}

TEST(Schedule, WarmUpFromZero) {
  const RunConfig c = with_schedule(WarmupForm::kFromZero);
  EXPECT_EQ(learning_rate_at(c, 0), 0);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 1), 1e-5);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 99), 9.9e-4);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 100), 1e-3);
}

TEST(Schedule, CosineToTheFloor) {
  for (const WarmupForm form : {WarmupForm::kShifted, WarmupForm::kFromZero}) {
    const RunConfig c = with_schedule(form);
    EXPECT_DOUBLE_EQ(learning_rate_at(c, 600), (1e-3 + 1e-4) / 2) << "half way";
    // A third of the way: cos(60 degrees) = 1/2, so 3/4 of the height is left.
    RunConfig third = c;
    third.schedule.lr_decay_iters = 400;
    EXPECT_NEAR(learning_rate_at(third, 200), 1e-4 + 0.75 * 9e-4, 1e-15);
    EXPECT_DOUBLE_EQ(learning_rate_at(c, 1100), 1e-4);
    EXPECT_EQ(learning_rate_at(c, 1101), 1e-4);
    EXPECT_EQ(learning_rate_at(c, 1000000), 1e-4);
  }
}

TEST(Schedule, WithoutDecayTheRateIsConstant) {
  for (const WarmupForm form : {WarmupForm::kShifted, WarmupForm::kFromZero}) {
    RunConfig c = with_schedule(form);
    c.schedule.decay_lr = false;
    for (const int64_t step : {0, 99, 100, 600, 1100, 1101})
      EXPECT_EQ(learning_rate_at(c, step), 1e-3) << step;
  }
}

TEST(Schedule, UnsetValuesFollowTheRun) {
  RunConfig c = with_schedule(WarmupForm::kShifted);
  c.schedule.lr_decay_iters.reset();
  c.schedule.min_lr.reset();
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 5000), 1e-4) << "max_iters, and a tenth";
  EXPECT_GT(learning_rate_at(c, 4999), 1e-4);
}

TEST(Schedule, NoWarmUpBeginsAtThePeak) {
  for (const WarmupForm form : {WarmupForm::kShifted, WarmupForm::kFromZero}) {
    RunConfig c = with_schedule(form);
    c.schedule.warmup_iters = 0;
    EXPECT_EQ(learning_rate_at(c, 0), 1e-3);
  }
}

// A run shorter than its warm-up, the commonest accident, only warms up.
TEST(Schedule, ARunShorterThanItsWarmUp) {
  RunConfig c = with_schedule(WarmupForm::kShifted);
  c.schedule.lr_decay_iters.reset();
  c.training.max_iters = 50;
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 49), 1e-3 * 50 / 101);
}

TEST(Schedule, NoStepsBetweenWarmUpAndFloor) {
  RunConfig c = with_schedule(WarmupForm::kShifted);
  c.schedule.lr_decay_iters = 100;
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 99), 0.1 / 101);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 100), 1e-4);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 101), 1e-4);
}

// The notebook on wirings warms up by (t + 1) / 10 for ten steps and goes to a tenth over 300,001.
// Its tenth step is the peak, which ours counts as the first after the warm-up: as the log has it,
// in its four digits.
TEST(Schedule, TheNotebooksTable) {
  RunConfig c;
  c.optimizer.learning_rate = 6e-4;
  c.schedule.warmup_iters = 9;
  c.schedule.lr_decay_iters = 300001;
  for (int64_t t = 0; t < 10; ++t)
    EXPECT_DOUBLE_EQ(learning_rate_at(c, t), 6e-4 * static_cast<double>(t + 1) / 10) << t;
  EXPECT_NEAR(learning_rate_at(c, 949), 5.9999e-4, 0.5e-8);
  EXPECT_NEAR(learning_rate_at(c, 2449), 5.9991e-4, 0.5e-8);
  EXPECT_NEAR(learning_rate_at(c, 4399), 5.9971e-4, 0.5e-8);
  EXPECT_NEAR(learning_rate_at(c, 6349), 5.9941e-4, 0.5e-8);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 300001), 6e-5);
}

TEST(OptimizerWarmUp, RisesFromItsFractionToOne) {
  OptimizerConfig c;
  EXPECT_EQ(optimizer_warmup(c, 0), 1) << "there is none unless it is asked for";
  c.optimizer_warmup_steps = 40;
  EXPECT_DOUBLE_EQ(optimizer_warmup(c, 0), 0.1);
  EXPECT_DOUBLE_EQ(optimizer_warmup(c, 1), 0.1 + 0.9 / 40);
  EXPECT_DOUBLE_EQ(optimizer_warmup(c, 39), 0.1 + 0.9 * 39 / 40);
  EXPECT_EQ(optimizer_warmup(c, 40), 1);
  EXPECT_EQ(optimizer_warmup(c, 1'000'000), 1);
  c.optimizer_warmup_fraction = 0;
  EXPECT_EQ(optimizer_warmup(c, 0), 0);
  c.optimizer_warmup_fraction = 3;
  EXPECT_DOUBLE_EQ(optimizer_warmup(c, 0), 3) << "or falls to it from above";
  EXPECT_DOUBLE_EQ(optimizer_warmup(c, 20), 2);
  EXPECT_EQ(optimizer_warmup(c, 40), 1);
}

TEST(Schedule, RisesThenFallsWithinItsBounds) {
  EXPECT_TRUE(rc::check([] {
    RunConfig c;
    c.optimizer.learning_rate = *rc::gen::inRange(1, 1000) * 1e-5;
    c.schedule.min_lr = c.optimizer.learning_rate * *rc::gen::inRange(0, 101) / 100;
    c.schedule.warmup_iters = *rc::gen::inRange<int64_t>(0, 50);
    c.schedule.warmup_form = *rc::gen::element(WarmupForm::kShifted, WarmupForm::kFromZero);
    c.schedule.lr_decay_iters = c.schedule.warmup_iters + *rc::gen::inRange<int64_t>(1, 100);
    const double peak = c.optimizer.learning_rate, slack = 1e-12 * peak;
    for (int64_t step = 0; step < 160; ++step) {
      const double now = learning_rate_at(c, step), next = learning_rate_at(c, step + 1);
      RC_ASSERT(now >= 0.0);
      RC_ASSERT(now <= peak + slack);
      if (step < c.schedule.warmup_iters) RC_ASSERT(next > now);
      if (step >= c.schedule.warmup_iters) {
        RC_ASSERT(next <= now + slack);
        RC_ASSERT(now >= *c.schedule.min_lr - slack);
      }
    }
    RC_ASSERT(std::abs(learning_rate_at(c, c.schedule.warmup_iters) - peak) <= slack);
  }));
}

// A stage of epochs, samples, tokens or minutes.
TEST(Schedule, GoesByWhatIsDoneWhereTheStepsAreNotKnown) {
  RunConfig c;
  c.optimizer.learning_rate = 1e-3;
  c.schedule.min_lr = 1e-4;
  c.schedule.warmup_iters = 10;
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 0, 0.0), 1e-3 / 11);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 10, 0.0), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 500, 0.5), (1e-3 + 1e-4) / 2);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 700, 1.0), 1e-4);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 701, 1.5), 1e-4);
  c.schedule.warmup_form = WarmupForm::kFromZero;
  EXPECT_EQ(learning_rate_at(c, 0, 0.0), 0);
  c.schedule.lr_decay_iters = 20;
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 30, 0.1), 1e-4) << "given in steps, it goes by them";
  c.schedule.decay_lr = false;
  EXPECT_EQ(learning_rate_at(c, 0, 0.7), 1e-3);
}

}  // namespace
}  // namespace fathom
