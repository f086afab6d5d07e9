// 200 steps are 100 steps, a resume in another trainer, and 100 steps: to the byte, for every
// preset.
#include "property/wiring_rows.h"
#include "train/testing.h"

namespace fathom::property {
namespace {

class ExactResume : public TrainTest {
 protected:
  ~ExactResume() override { set_threads(1); }

  RunConfig config_of(const Case& c, int64_t steps) {
    RunConfig config = tiny_run(c.config);
    config.preset = c.preset;
    config.model.backbone.dropout = 0.1;
    config.schedule.warmup_iters = 10;
    config.training.max_iters = steps;
    config.training.eval_interval = steps / 4;
    config.optimizer.learning_rate = 3e-3;
    config.guards.spike_sigma = 4;
    config.guards.spike_window = 16;
    return config;
  }
  // Loops walk longer, and draw anew at every step.
  static int64_t steps_of(const Case& c) { return has_loops(c.config) ? 60 : 200; }
  void expect_exact(const RunConfig& config) {
    for (const char* run : {"whole", "parts"}) std::filesystem::remove_all(temp_ / run);
    const int64_t half = config.training.max_iters / 2 + 1;  // no evaluation is due there
    const History whole = run(config, "whole");
    History parts;
    {
      Trainer first = trainer(config, temp_ / "parts");
      TrainerEvents events = parts.events();
      events.stop = [&] { return first.state().step == half; };
      EXPECT_EQ(first.run(events), RunEnd::kInterrupted);
    }
    Trainer second = trainer(config, temp_ / "parts");
    second.resume(checkpoint("parts", "last"));
    EXPECT_EQ(second.state().step, half);
    EXPECT_EQ(second.run(parts.events()), RunEnd::kDone);
    for (const char* name : {"last", "best"})
      for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
        EXPECT_TRUE(slurp(checkpoint("whole", name) + "/" + file) ==
                    slurp(checkpoint("parts", name) + "/" + file))
            << name << "/" << file;
    ASSERT_EQ(parts.steps.size(), whole.steps.size());
    for (size_t i = 0; i < whole.steps.size(); ++i)
      ASSERT_EQ(parts.steps[i].loss, whole.steps[i].loss) << whole.steps[i].step;
  }
};

TEST_F(ExactResume, OfEveryPreset) {
  for (const Case& c : preset_cases()) {
    SCOPED_TRACE(c.name);
    expect_exact(config_of(c, steps_of(c)));
  }
}

// Rows of a notebook of wirings are many and alike: a few steps of each, drawn halts among them.
TEST_F(ExactResume, OfEveryWiring) {
  const std::vector<Case> cases = preset_cases(true);
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    expect_exact(config_of(c, 12));
  }
  expect_all_wirings(cases);
}

TEST_F(ExactResume, OfComposedSettings) {
  for (const Case& c : composed_cases()) {
    SCOPED_TRACE(c.name);
    expect_exact(config_of(c, 20));
  }
}

TEST_F(ExactResume, OfEveryPresetWithTwoThreads) {
  set_threads(2);
  for (const Case& c : preset_cases()) {
    SCOPED_TRACE(c.name);
    expect_exact(config_of(c, steps_of(c)));
  }
}

}  // namespace
}  // namespace fathom::property
