// Several processes that train one run, started by a launcher's variables, which a stand-in sets
// here.
#include <sys/prctl.h>
#include <sys/wait.h>

#include "e2e/several_ranks.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class LaunchedRanks : public SeveralRanks {};

TEST_F(LaunchedRanks, ByALaunchersVariables) {
  std::vector<Outcome> o = launch(torchrun("0"), {"--run_name=launched", "--max_iters=40"});
  ASSERT_EQ(o[0].exit_code, 0) << o[0].err;
  ASSERT_EQ(o[1].exit_code, 0) << o[1].err;
  EXPECT_EQ(o[1].out + o[1].err, "");
  EXPECT_EQ(slurp(place_->path("runs/launched/launch.txt")), "torchrun x\n");
  // Started anew, it goes on without being told to.
  o = launch(torchrun("1"), {"--run_name=launched"});
  ASSERT_EQ(o[0].exit_code, 0) << o[0].err;
  EXPECT_THAT(o[0].out, HasSubstr("going on at step 40 of 60"));
  expect_same_losses("launched");
}

// Agents of two machines count restarts each for itself, and rank 0 decides whether the run goes
// on: it does where the run is this torchrun's own, and --force is for another one's.
TEST_F(LaunchedRanks, FollowRankZeroWhereTheyAreStartedAnew) {
  const auto restarted = [&](const std::string& first, const std::string& second,
                             const Words& more) {
    Words all = {"--run_name=decided"};
    all.insert(all.end(), more.begin(), more.end());
    const Variables of_first = torchrun(first), of_second = torchrun(second);
    const std::vector<Outcome> o = wait_for_ranks(
        start_ranks([&](int rank) { return rank == 0 ? of_first : of_second; }, all));
    EXPECT_EQ(o[0].exit_code, 0) << o[0].err;
    EXPECT_EQ(o[1].exit_code, 0) << o[1].err;
    return o[0].out;
  };
  restarted("0", "0", {"--max_iters=10"});
  EXPECT_THAT(restarted("1", "0", {"--max_iters=12"}), HasSubstr("going on at step 10 of 12"));
  EXPECT_THAT(restarted("0", "1", {"--max_iters=14", "--force"}),
              HasSubstr("going on at step 12 of 14"));
}

// One failed when rank 0 had saved the last checkpoint. Rank 0 alone may know that its launcher has
// started it anew.
TEST_F(LaunchedRanks, AreToldTogetherThatTheirRunIsComplete) {
  const auto start = [](const std::string& id, const std::string& first,
                        const std::string& second) {
    std::vector<Variables> of = {torchrun(first), torchrun(second)};
    for (Variables& variables : of) variables["TORCHELASTIC_RUN_ID"] = id;
    return wait_for_ranks(start_ranks([&](int rank) { return of[static_cast<size_t>(rank)]; },
                                      {"--run_name=whole" + id, "--max_iters=4"}));
  };
  for (const char* id : {"none", "y"}) {
    for (const Outcome& o : start(id, "0", "0")) ASSERT_EQ(o.exit_code, 0) << o.err;
    for (const char* second : {"0", "1"}) {
      const std::vector<Outcome> o = start(id, "1", second);
      EXPECT_EQ(o[0].exit_code, 0) << o[0].err;
      EXPECT_EQ(o[1].exit_code, 0) << o[1].err;
      EXPECT_THAT(o[0].out, StartsWith(std::string("whole") + id + " is complete: 4 steps were"));
      EXPECT_EQ(o[1].out + o[0].err + o[1].err, "");
    }
  }
}

// A job of one task, which starts ranks of its own.
TEST_F(LaunchedRanks, OfAJobThatIsQueuedAgainGoOnWithItsRun) {
  const auto start = [](const std::string& job, const std::string& restarts,
                        const std::string& steps) {
    const Variables slurm = {{"SLURM_JOB_ID", job},
                             {"SLURM_STEP_ID", "0"},
                             {"SLURM_PROCID", "0"},
                             {"SLURM_STEP_NUM_TASKS", "1"},
                             {"SLURM_LOCALID", "0"},
                             {"SLURM_NODEID", "0"},
                             {"SLURM_STEP_TASKS_PER_NODE", "1"},
                             {"SLURM_STEP_NODELIST", "n1"},
                             {"SLURM_RESTART_COUNT", restarts}};
    return place_->wait_for(
        place_->start_train(words({"--nproc=2", "--run_name=queued", "--max_iters=" + steps}), [&] {
          for (const auto& [name, value] : slurm) setenv(name.c_str(), value.c_str(), 1);
        }));
  };
  EXPECT_EQ(start("4711", "0", "4").exit_code, 0);
  EXPECT_EQ(slurp(place_->path("runs/queued/launch.txt")), "srun 4711\n");
  Outcome o = start("4711", "1", "6");
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("going on at step 4 of 6"));
  o = start("4711", "1", "6");
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, StartsWith("queued is complete: 6 steps were"));
  o = start("4712", "1", "8");
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr(", which srun 4712 did not train last"));
}

// What a terminal sends to torchrun's ranks comes once more, from torchrun.
TEST_F(LaunchedRanks, ASignalAndItsEchoSaveOnce) {
  const Variables variables = torchrun("0");
  const std::vector<pid_t> ranks = start_ranks([&](int) { return variables; }, long_words("echo"));
  ASSERT_TRUE(wait_until_in_step_10());
  for (const int signal : {SIGINT, SIGTERM})
    for (const pid_t rank : ranks) kill(rank, signal);
  expect_saved_once("echo", wait_for_ranks(ranks));
}

// torchrun leaves its ranks alone where it is killed. They become this process's children then.
TEST_F(LaunchedRanks, EndWithTheLauncherThatWasKilled) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const Variables variables = torchrun("0");
  std::filesystem::remove(place_->path("out0"));  // of the test before
  const pid_t launcher = fork();
  if (launcher == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::string numbers;
    for (const pid_t rank : start_ranks([&](int) { return variables; }, long_words("orphans")))
      numbers += std::to_string(rank) + " ";
    place_->write("ranks", numbers);
    while (true) pause();
  }
  ASSERT_TRUE(wait_until_in_step_10());
  kill(launcher, SIGKILL);
  waitpid(launcher, nullptr, 0);
  std::istringstream numbers(slurp(place_->path("ranks")));
  const std::vector<pid_t> ranks{std::istream_iterator<pid_t>(numbers), {}};
  ASSERT_EQ(ranks.size(), 2U);
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<Outcome> o = wait_for_ranks(ranks);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  EXPECT_LT(seconds_since(begin), 30);
  expect_saved_once("orphans", o);
}

}  // namespace
}  // namespace fathom::testing
