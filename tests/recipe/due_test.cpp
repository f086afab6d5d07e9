#include "fathom/train/recipe/due.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

using Due = bool (*)(const RunConfig&, int64_t, const Progress&);

// Steps that all have config's sequences.
std::vector<int64_t> steps_where(Due due, const RunConfig& config, int64_t steps) {
  std::vector<int64_t> out;
  Progress p;
  for (int64_t step = 0; step <= steps; ++step) {
    if (due(config, step, p)) out.push_back(step);
    p.samples_before = p.samples;
    p.samples += config.sequences_per_step();
  }
  return out;
}

bool is_numbered(const RunConfig& config, int64_t step, const Progress&) {
  return numbered_due(config, step);
}

using Steps = std::vector<int64_t>;

TEST(Due, EveryIntervalOfSteps) {
  RunConfig c;
  c.training.eval_interval = 4;
  EXPECT_EQ(steps_where(evaluation_due, c, 12), (Steps{0, 4, 8, 12}));
  EXPECT_EQ(steps_where(save_due, c, 12), (Steps{0, 4, 8, 12}));
  EXPECT_EQ(steps_where(is_numbered, c, 12), Steps{});
  c.training.checkpoint_interval = 5;
  EXPECT_EQ(steps_where(is_numbered, c, 12), (Steps{5, 10}));
}

Steps sampled(LogFormat format, std::optional<int64_t> interval, int64_t all) {
  TrainingConfig c;
  c.log_format = format;
  c.sample_interval = interval;
  Steps out;
  for (int64_t step = 0; step < all; ++step)
    if (sample_due(c, step, all)) out.push_back(step);
  return out;
}

TEST(Due, SamplesEveryIntervalOfSteps) {
  EXPECT_EQ(sampled(LogFormat::kFathom, 500, 1800), (Steps{500, 1000, 1500}));
  EXPECT_EQ(sampled(LogFormat::kFathom, 1, 4), (Steps{1, 2, 3}));
  EXPECT_EQ(sampled(LogFormat::kFathom, std::nullopt, 400), Steps{});
}

TEST(Due, ALastSampleIsOfTheFinishedModel) {
  TrainingConfig c;
  EXPECT_FALSE(last_sample_due(c));
  c.sample_interval = 500;
  EXPECT_TRUE(last_sample_due(c));
  c.log_format = LogFormat::kNotebook;
  EXPECT_FALSE(last_sample_due(c)) << "the notebook's is before the last update";
}

TEST(Due, SamplesAsTheNotebookHasThem) {
  EXPECT_EQ(sampled(LogFormat::kNotebook, std::nullopt, 400), (Steps{1, 50, 200, 350, 399}));
  EXPECT_EQ(sampled(LogFormat::kNotebook, 20, 60), (Steps{1, 10, 30, 50, 59}));
  EXPECT_EQ(sampled(LogFormat::kNotebook, 1, 4), (Steps{0, 1, 2, 3}));
  TrainingConfig c;
  c.log_format = LogFormat::kNotebook;
  EXPECT_FALSE(sample_due(c, 399, 0)) << "where the end is not known, nothing is last";
}

// LMPlay: next = seen + interval - seen mod interval, asked after each batch, so that an interval
// below the batch is due once a batch.
TEST(Due, EveryIntervalOfSequences) {
  for (const int64_t batch : {1, 3, 4, 7, 10, 25}) {
    RunConfig c;
    c.data.batch_size = batch;
    c.data.mini_batch_size = 2;
    c.training.validation_interval = 10;
    c.training.save_interval = 25;
    for (const int64_t interval : {10, 25}) {
      const auto due = interval == 10 ? evaluation_due : save_due;
      Steps expected = {0};
      int64_t next = interval;
      for (int64_t step = 1; step <= 60; ++step) {
        const int64_t seen = step * batch;
        if (seen < next) continue;
        expected.push_back(step);
        next = seen + interval - seen % interval;
      }
      EXPECT_EQ(steps_where(due, c, 60), expected) << batch << ", " << interval;
    }
  }
}

// Where steps differ, as rows of a file may be given in several parts.
TEST(Due, SamplesAreCountedNotComputed) {
  RunConfig c;
  c.training.validation_interval = 10;
  EXPECT_FALSE(evaluation_due(c, 7, {/*samples=*/9, /*samples_before=*/4}));
  EXPECT_TRUE(evaluation_due(c, 8, {10, 9}));
  EXPECT_FALSE(evaluation_due(c, 9, {10, 10})) << "a step that begins no sample";
  EXPECT_TRUE(evaluation_due(c, 10, {35, 10}));
}

TEST(Due, NumbersOfTheFirstStepAreLoggedToo) {
  std::vector<int64_t> logged;
  for (int64_t step = 1; step <= 9; ++step)
    if (log_due(4, step)) logged.push_back(step);
  EXPECT_EQ(logged, (std::vector<int64_t>{1, 4, 8}));
}

TEST(Due, AccumulatedStepsCountAllTheirSequences) {
  RunConfig c;
  c.data.batch_size = 5;
  c.data.gradient_accumulation_steps = 4;
  c.training.validation_interval = 60;
  EXPECT_EQ(steps_where(evaluation_due, c, 9), (Steps{0, 3, 6, 9}));
}

}  // namespace
}  // namespace fathom
