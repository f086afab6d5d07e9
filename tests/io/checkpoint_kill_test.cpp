// A process that saves checkpoints is killed at random moments, 200 times: what it reported as
// saved is never lost, and what it was about to save never in the way.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "fathom/base/random.h"
#include "io/checkpoints.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::save_small;
using testing::TempFolder;

constexpr size_t kKilledFloats = 200'000;  // 0.8 MB of model, 1.6 MB of moments
constexpr int64_t kKept = 2;

// A child that dies with the test, should that end early.
pid_t fork_child() {
  const pid_t child = ::fork();
  if (child == 0) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  return child;
}

// `last` at every step and a numbered one at every third; a step is reported once `last` has it.
[[noreturn]] void train(const std::string& checkpoints, int64_t step, int report) {
  try {
    for (;; ++step) {
      save_small(checkpoints + "/last", step, kKilledFloats);
      if (::write(report, &step, sizeof step) != sizeof step) ::_exit(1);
      if (step % 3 != 0) continue;
      save_small(checkpoints + "/" + numbered_name(step), step, kKilledFloats);
      prune_numbered(checkpoints, kKept);
    }
  } catch (const std::exception&) {
    ::_exit(2);
  }
}

// The last step that the child reported before it was killed; -1 if none.
int64_t train_and_kill(const std::string& checkpoints, int64_t first_step, useconds_t after) {
  int ends[2];
  if (::pipe(ends) != 0) return -1;
  const pid_t child = fork_child();
  if (child == 0) train(checkpoints, first_step, ends[1]);
  ::close(ends[1]);
  ::usleep(after);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  int64_t step = 0, reported = -1;
  while (::read(ends[0], &step, sizeof step) == sizeof step) reported = step;
  ::close(ends[0]);
  return reported;
}

TEST(CheckpointKill, TwoHundredKillsLoseNothing) {
  TempFolder folder;
  save_small(folder / "last", 1, kKilledFloats);
  const RandomStream random(7, "kill");
  int64_t step = 1, saved = 0;
  for (uint64_t round = 0; round < 200; ++round) {
    const auto after = static_cast<useconds_t>(1000 + random.below(round, 59'000));
    const int64_t reported = train_and_kill(folder.path(), step + 1, after);
    const auto choice = newest_complete(folder.path());
    ASSERT_TRUE(choice.has_value()) << "round " << round;
    verify_checkpoint(choice->folder);
    EXPECT_THAT(choice->skipped, IsEmpty()) << "round " << round;
    // At most one more than was reported: it died between saving and reporting.
    const int64_t known = std::max(step, reported);
    ASSERT_GE(choice->step, known) << "round " << round;
    ASSERT_LE(choice->step, known + 1) << "round " << round;
    const std::vector<std::string> entries = folder.entries();
    ASSERT_LE(std::count_if(entries.begin(), entries.end(),
                            [](const std::string& name) { return name[0] == '.'; }),
              1)
        << "round " << round;
    // One more numbered one for each kill between saving and pruning, until one comes through.
    ASSERT_LE(entries.size(), 12u) << "round " << round;
    saved += choice->step - step;
    step = choice->step;
  }
  EXPECT_GT(saved, 10);  // some hundreds on an idle machine
  RecordProperty("checkpoints", std::to_string(saved));
  save_small(folder / numbered_name(step + 1), step + 1);
  prune_numbered(folder.path(), 1);
  EXPECT_THAT(folder.entries(), ElementsAre("last", numbered_name(step + 1)));
}

// `fathom eval` beside `fathom train`: a checkpoint that is replaced while it is read is not
// damage.
TEST(CheckpointKill, AReaderBesideAWriterNeverSeesDamage) {
  TempFolder folder;
  save_small(folder / "last", 1);
  const pid_t child = fork_child();
  if (child == 0) {
    for (int64_t step = 2;; ++step) save_small(folder / "last", step);
  }
  int64_t step = 0, changes = 0, refused = 0;
  for (int i = 0; i < 1000; ++i) {
    try {
      verify_checkpoint(folder / "last");
      const CheckpointChoice choice = newest_complete(folder.path()).value();
      refused += !choice.skipped.empty() || choice.step < step;
      changes += choice.step != step;
      step = choice.step;
    } catch (const std::exception& error) {
      ++refused;
    }
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(refused, 0);
  EXPECT_GT(changes, 10);
}

}  // namespace
}  // namespace fathom
