// Training on generated numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fathom/io/checkpoint_folder.h"
#include "fathom/train/recipe/numbers_options.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

class NumbersTraining : public TrainTest {
 protected:
  static RunConfig tiny_numbers() {
    RunConfig config = tiny_run();
    config.data.dataset = kNumbers;
    config.data.numbers.stream_share = 0.5;
    config.data.batch_size = 3;
    config.data.mini_batch_size = 2;
    config.model.backbone.block_size = 32;
    config.training.max_iters = 8;
    return config;
  }
  // From the newest checkpoint on, until `stop` has been asked so often.
  void stretch(const std::string& name, int64_t polls, History& history) {
    const RunConfig config = tiny_numbers();
    corpus_ = open_corpus(kNumbers, config);
    Trainer t = trainer(config, temp_ / name);
    if (const auto choice = newest_complete(temp_ / (name + "/checkpoints")))
      t.resume(choice->folder);
    TrainerEvents events = history.events();
    events.stop = [&] { return --polls < 0; };
    t.run(events);
  }
  std::string file(const std::string& name, const char* which) const {
    return slurp(checkpoint(name, "last") + "/" + which);
  }
};

TEST_F(NumbersTraining, GoesOnWithTheSameExamples) {
  History whole, parts;
  stretch("whole", 1'000'000, whole);
  for (int i = 0; i < 12; ++i) stretch("parts", 9, parts);
  stretch("parts", 1'000'000, parts);
  for (const char* which : {"model.safetensors", "optimizer.safetensors", "state.json"})
    EXPECT_TRUE(file("whole", which) == file("parts", which)) << which;
  ASSERT_FALSE(whole.evaluations.empty());
  const Evaluation& val = whole.evaluations.back().evaluations.back().evaluation;
  EXPECT_EQ(val.metrics.count("word_accuracy"), 0U) << "results are no words";
}

TEST_F(NumbersTraining, OneStepIsTheSameHoweverItIsSplit) {
  RunConfig config = tiny_numbers();
  corpus_ = open_corpus(kNumbers, config);
  config.data.mini_batch_size = 1;
  const StepResult split = first_step(trainer(config));
  config.data.mini_batch_size = 3;
  EXPECT_LT(relative_distance(split.gradient, first_step(trainer(config)).gradient), 1e-5);
}

}  // namespace
}  // namespace fathom::testing
