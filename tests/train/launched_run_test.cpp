// Whose a run is, by the launches that have trained it.
#include <csignal>
#include <optional>
#include <string>

#include "fathom/base/stop_signal.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/files.h"
#include "fathom/train/recipe/launched_run.h"
#include "fathom/train/training_run.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

class LaunchedRun : public TrainTest {
 protected:
  LaunchedRun() { corpus_ = corpus(); }

  // As Slurm's job of that number, to its end or until a signal comes at a sample, which is before
  // the step after it.
  RunEnd train(const std::string& job, bool goes_on, std::optional<int64_t> signal_at) {
    TrainRequest request;
    request.config = tiny_run();
    request.config.training.sample_interval = 1;
    request.vocab_size = settled_vocab_size(request.config, corpus_->vocab_size());
    request.stages = one_stage(request.config, *corpus_).stages;
    request.corpus = *corpus_;
    request.options.run_name = "launched";
    request.options.quiet = true;
    request.launch.by = "srun";
    request.launch.id = job;
    if (goes_on) {
      request.resume.emplace();
      request.resume->checkpoint =
          newest_complete(run_folder("launched") + "/checkpoints").value().folder;
      request.resume->state = load_state(request.resume->checkpoint);
    }
    Trainer trainer(run_of(request), request.vocab_size, "");
    RunFolder folder = take_folder(request);
    const StopSignal signal;
    return train_in(
        folder, request, trainer, [] {},
        [&](int64_t step) -> std::vector<std::string> {
          if (step == signal_at) std::raise(SIGTERM);
          return {};
        });
  }
  static std::string owner() {
    return read_text_file(run_folder("launched") + "/" + kLaunchFile, 100);
  }

  ScopedVariable runs_{"FATHOM_RUNS", temp_ / "runs"};
};

// Whoever was asked to end before a step of its own leaves it to the one before.
TEST_F(LaunchedRun, IsOfTheLaunchThatMadeItsLastStep) {
  EXPECT_EQ(train("1", /*goes_on=*/false, 2), RunEnd::kInterrupted);
  EXPECT_EQ(owner(), "srun 1\n");
  EXPECT_EQ(train("2", /*goes_on=*/true, 2), RunEnd::kInterrupted);
  EXPECT_EQ(owner(), "srun 1\n");
  EXPECT_EQ(train("3", /*goes_on=*/true, 4), RunEnd::kInterrupted);
  EXPECT_EQ(owner(), "srun 3\n");
  EXPECT_EQ(train("4", /*goes_on=*/true, {}), RunEnd::kDone);
  EXPECT_EQ(owner(), "srun 4\n");
}

}  // namespace
}  // namespace fathom::testing
