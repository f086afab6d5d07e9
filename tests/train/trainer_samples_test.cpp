// When a trainer shows a sample of its model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fathom/io/checkpoint_folder.h"
#include "fathom/train/recipe/due.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;

class TrainerSamples : public TrainTest {};

TEST_F(TrainerSamples, AreShownOnceAtAStepAndAtTheEnd) {
  RunConfig config = tiny_run();
  config.training.sample_interval = 4;
  std::vector<int64_t> shown;
  std::string name = "run";
  const auto train_to = [&](int64_t steps) {
    config.training.max_iters = steps;
    Trainer t = trainer(config, temp_ / name);
    if (const auto choice = newest_complete(temp_ / (name + "/checkpoints")))
      t.resume(choice->folder);
    const bool at_the_end = last_sample_due(config.training);
    TrainerEvents events;
    events.wants_sample = [=](int64_t step, bool ends) {
      return ends ? at_the_end : step % 4 == 2;
    };
    events.sample = [&](int64_t step) { shown.push_back(step); };
    EXPECT_EQ(t.run(events), RunEnd::kDone);
  };
  train_to(6);
  EXPECT_THAT(shown, ElementsAre(2, 6));
  train_to(9);
  EXPECT_THAT(shown, ElementsAre(2, 6, 9)) << "6 had been shown";
  // Where the end has no sample, the resumed run shows what is due there.
  config.training.log_format = LogFormat::kNotebook;
  name = "book", shown.clear();
  train_to(6);
  EXPECT_THAT(shown, ElementsAre(2));
  train_to(9);
  EXPECT_THAT(shown, ElementsAre(2, 6));
}

}  // namespace
}  // namespace fathom::testing
