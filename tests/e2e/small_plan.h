// A training plan of two stages on real text, killed at random moments.
#pragma once

#include <random>

#include "e2e/small_run.h"
#include "source_path.h"

namespace fathom::testing {

// Two pages of this program's own documentation, a stage for each; the second one has another
// batch, another rate and another optimiser. The run `whole` was made of it and not disturbed.
class SmallPlan {
 public:
  SmallPlan() {
    for (const char* page : {"training", "performance"}) {
      const std::string file = std::string(page) + ".txt";
      place_.write(file, slurp(source_path("docs/" + std::string(page) + ".md")));
      const Outcome o = place_.run({"prepare", file, "--tokenizer=byte"});
      EXPECT_EQ(o.exit_code, 0) << o.err;
    }
    place_.write("plan.json", R"({
      "first": {"dataset": "training", "steps": 35},
      "second": {"dataset": "performance", "samples": 230, "overrides": {
        "learning_rate": 0.002, "batch_size": 5, "mini_batch_size": 2, "beta2": 0.9,
        "optimizer": "schedule_free_adamw", "warmup_iters": 2}}})");
    Words words = kWords;
    words.push_back("--run_name=whole");
    const pid_t child = place_.start_train(words);
    EXPECT_TRUE(place_.wait_until_there("runs/whole/checkpoints/last"));
    const auto begin = std::chrono::steady_clock::now();
    const Outcome o = place_.wait_for(child);
    seconds_ = seconds_since(begin);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    EXPECT_EQ(place_.saved_step("whole"), 35 + 46);
    whole_ = bytes_of("whole");
  }

  // Kills `count` runs, each at a random moment of another part of the undisturbed one's time, and
  // resumes them: how many end with its bytes, those that were kept between the stages too.
  int survived_kills(int count, unsigned seed) const {
    std::mt19937 generator(seed);
    int survived = 0;
    for (int i = 0; i < count; ++i) {
      const std::string run = "killed" + std::to_string(i);
      const double part = (i + generator() / 4294967296.0) / count;
      const auto after = std::chrono::microseconds(static_cast<int64_t>(1e6 * seconds_ * part));
      survived += goes_on_after_a_kill(place_, run, kWords, after) && bytes_of(run) == whole_;
      std::filesystem::remove_all(place_.path("runs/" + run));
    }
    return survived;
  }

 private:
  static inline const Words kWords = {"--training_plan=plan.json", "--checkpoint_interval=2",
                                      "--keep_checkpoints=2"};

  std::map<std::string, std::string> bytes_of(const std::string& run) const {
    std::map<std::string, std::string> bytes = place_.bytes_of(run);
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
      bytes[std::string("stage-first/") + file] =
          slurp(place_.checkpoint(run, "stage-first") + "/" + file);
    for (const auto& [file, text] : bytes) EXPECT_GT(text.size(), 100U) << run << ": " << file;
    return bytes;
  }

  SmallRuns place_;
  double seconds_ = 0;
  std::map<std::string, std::string> whole_;
};

}  // namespace fathom::testing
