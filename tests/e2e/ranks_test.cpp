// Several processes that train one run, as users start them: by --nproc, and by a launcher's
// variables, which a stand-in sets here.
#include <sys/prctl.h>
#include <sys/wait.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "e2e/small_run.h"

namespace fathom::testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Two passes a step, which two ranks share.
const Words kTwoPasses = {"--batch_size=2", "--gradient_accumulation_steps=2",
                          "--checkpoint_interval=5", "--lr_decay_iters=60"};

// Addresses at which a process listens, as the kernel has them in its tables.
std::set<std::string> listening(pid_t process) {
  std::set<std::string> sockets, found;
  std::error_code gone;
  const std::string folder = "/proc/" + std::to_string(process);
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/fd", gone)) {
    const std::string link = std::filesystem::read_symlink(entry.path(), gone);
    if (link.rfind("socket:[", 0) == 0) sockets.insert(link.substr(8, link.size() - 9));
  }
  for (const char* table : {"/net/tcp", "/net/tcp6"}) {
    std::istringstream lines(slurp(folder + table));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream text(line);
      std::vector<std::string> words{std::istream_iterator<std::string>(text), {}};
      if (words.size() > 9 && words[3] == "0A" && sockets.count(words[9]) == 1)
        found.insert(words[1]);
    }
  }
  return found;
}

class SeveralRanks : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new SmallRuns;
    ASSERT_EQ(place_->train(words({"--run_name=alone"})).exit_code, 0);
  }
  static void TearDownTestSuite() { delete place_; }

  static Words words(const Words& more) {
    Words all = kTwoPasses;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  static std::map<std::string, double> losses(const std::string& run) {
    std::istringstream lines(place_->run({"export", run, "--metrics=jsonl"}).out);
    std::map<std::string, double> found;
    for (std::string line; std::getline(lines, line);) {
      const auto all = nlohmann::json::parse(line);
      for (const char* name : {"train/loss", "eval/val/loss"})
        if (all.contains(name)) found[name + all.at("step").dump()] = all[name];
    }
    return found;
  }
  static void expect_same_losses(const std::string& run) {
    const auto alone = losses("alone"), together = losses(run);
    ASSERT_GT(alone.size(), 60U);
    for (const auto& [at, loss] : alone) {
      ASSERT_EQ(together.count(at), 1U) << at;
      EXPECT_NEAR(together.at(at), loss, 1e-6 * loss) << at;
    }
  }
  // The processes that train a run, by rank, once its ranks are there.
  static std::vector<pid_t> ranks_of(pid_t parent, size_t size) {
    for (int i = 0; i < 3000; ++i) {
      std::map<int, pid_t> found;
      const std::string tasks =
          "/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children";
      std::istringstream children(slurp(tasks));
      for (pid_t child = 0; children >> child;) {
        const std::string variables = slurp("/proc/" + std::to_string(child) + "/environ");
        const std::string name("\0RANK=", 6);
        const size_t at = variables.find(name);
        if (at != std::string::npos) found[std::stoi(variables.substr(at + name.size()))] = child;
      }
      if (found.size() == size) {
        std::vector<pid_t> ranks;
        for (const auto& [rank, process] : found) ranks.push_back(process);
        return ranks;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return {};
  }
  // Two ranks that train without end, in their tenth step.
  static pid_t start_long(const std::string& run) {
    const pid_t parent = place_->start_train(
        words({"--nproc=2", "--max_iters=1000000", "--eval_interval=100000", "--run_name=" + run}));
    EXPECT_TRUE(place_->wait_until_said("step 10/"));
    return parent;
  }
  // Ends with a sentence, and goes on from a whole checkpoint.
  static Outcome expect_loss_of(const std::string& run, pid_t parent, const std::string& sentence) {
    const auto begin = std::chrono::steady_clock::now();
    const Outcome o = place_->wait_for(parent);
    EXPECT_LT(seconds_since(begin), 30);
    EXPECT_NE(o.exit_code, 0);
    EXPECT_THAT(o.err, HasSubstr(sentence));
    const int64_t step = place_->saved_step(run);
    EXPECT_GE(step, 5);
    EXPECT_EQ(place_
                  ->train(words({"--nproc=2", "--resume", "--run_name=" + run,
                                 "--max_iters=" + std::to_string(step + 1)}))
                  .exit_code,
              0);
    EXPECT_EQ(place_->saved_step(run), step + 1);
    return o;
  }

  using Variables = std::map<std::string, std::string>;

  // Not torchrun: what it sets, for each of two ranks; their output is in out0, out1, err0, err1.
  static std::vector<pid_t> start_ranks(const std::function<Variables(int rank)>& variables,
                                        const Words& more) {
    std::filesystem::remove(place_->path("out0"));  // of the test before
    std::vector<pid_t> ranks;
    for (int r = 0; r < 2; ++r)
      ranks.push_back(place_->start_train(words(more), [&] {
        for (const auto& [name, value] : variables(r)) setenv(name.c_str(), value.c_str(), 1);
        const std::string rank = std::to_string(r);
        for (const char* name : {"RANK", "LOCAL_RANK"}) setenv(name, rank.c_str(), 1);
        for (const auto& [name, stream] : {std::pair{"out", 1}, {"err", 2}})
          dup2(open(place_->path(name + rank).c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), stream);
      }));
    return ranks;
  }
  static std::vector<Outcome> wait_for_ranks(const std::vector<pid_t>& ranks) {
    std::vector<Outcome> outcomes;
    for (size_t r = 0; r < ranks.size(); ++r) {
      outcomes.push_back(place_->wait_for(ranks[r]));
      outcomes.back().out = slurp(place_->path("out" + std::to_string(r)));
      outcomes.back().err = slurp(place_->path("err" + std::to_string(r)));
    }
    return outcomes;
  }
  static std::vector<Outcome> launch(const Variables& variables, const Words& more) {
    return wait_for_ranks(start_ranks([&](int) { return variables; }, more));
  }
  // Long enough to be disturbed in their tenth step, and to end where they are not.
  static Words long_words(const std::string& run) {
    return {"--max_iters=3000", "--eval_interval=100000", "--run_name=" + run};
  }
  static bool wait_until_in_step_10() {
    for (int i = 0; i < 12000; ++i) {  // two minutes: ranks get one to meet
      if (slurp(place_->path("out0")).find("step 10/") != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  static void expect_saved_once(const std::string& run, const std::vector<Outcome>& ranks) {
    for (const Outcome& o : ranks) {
      EXPECT_THAT(o.exit_code, AnyOf(128 + SIGINT, 128 + SIGTERM));
      EXPECT_THAT(o.err, Not(HasSubstr("fathom:")));
    }
    const std::string sentence = "interrupted; saved at step", &out = ranks[0].out;
    EXPECT_THAT(out, HasSubstr(sentence));
    EXPECT_EQ(out.find(sentence), out.rfind(sentence));
    EXPECT_GE(place_->saved_step(run), 10);
  }
  static Variables torchrun(const std::string& restarts) {
    return {{"WORLD_SIZE", "2"},
            {"LOCAL_WORLD_SIZE", "2"},
            {"MASTER_ADDR", "127.0.0.1"},
            {"MASTER_PORT", free_port()},
            {"TORCHELASTIC_RUN_ID", "x"},
            {"TORCHELASTIC_RESTART_COUNT", restarts},
            {"OMP_NUM_THREADS", "1"},
            {"TORCHELASTIC_USE_AGENT_STORE", "False"},
            {"TORCHELASTIC_MAX_RESTARTS", "3"}};
  }
  static std::string free_port() { return std::to_string(20000 + getpid() % 10000); }

  static SmallRuns* place_;
};
SmallRuns* SeveralRanks::place_ = nullptr;

TEST_F(SeveralRanks, HaveTheLossesOfOne) {
  const Outcome o = place_->train(words({"--nproc=2", "--run_name=two"}));
  ASSERT_EQ(o.exit_code, 0) << o.err;
  expect_same_losses("two");
  EXPECT_THAT(o.out, AllOf(HasSubstr("step 60/60"), HasSubstr("saved in runs/two"),
                           ContainsRegex("sums over 2 ranks: [0-9]+ % behind backward passes")));
  EXPECT_EQ(o.out.find("step 7/60"), o.out.rfind("step 7/60")) << "said once";
}

TEST_F(SeveralRanks, ByALaunchersVariables) {
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
TEST_F(SeveralRanks, FollowRankZeroWhereTheyAreStartedAnew) {
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

// What a terminal sends to torchrun's ranks comes once more, from torchrun.
TEST_F(SeveralRanks, ASignalAndItsEchoSaveOnce) {
  const Variables variables = torchrun("0");
  const std::vector<pid_t> ranks = start_ranks([&](int) { return variables; }, long_words("echo"));
  ASSERT_TRUE(wait_until_in_step_10());
  for (const int signal : {SIGINT, SIGTERM})
    for (const pid_t rank : ranks) kill(rank, signal);
  expect_saved_once("echo", wait_for_ranks(ranks));
}

// torchrun leaves its ranks alone where it is killed. They become this process's children then.
TEST_F(SeveralRanks, EndWithTheLauncherThatWasKilled) {
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

// Before they have met, and whichever moment of it.
TEST_F(SeveralRanks, ASignalWhileTheyStartEndsThemAtOnce) {
  for (const int milliseconds : {0, 150, 400}) {
    const pid_t parent =
        place_->start_train(words({"--nproc=2", "--run_name=starting", "--force"}));
    ASSERT_EQ(ranks_of(parent, 2).size(), 2U);
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    const auto begin = std::chrono::steady_clock::now();
    kill(parent, SIGTERM);
    const Outcome o = place_->wait_for(parent);
    EXPECT_EQ(o.exit_code, 143);
    EXPECT_LT(seconds_since(begin), 8);
    EXPECT_EQ(o.err, "");
  }
}

// Of what all decide, rank 0 speaks; of what one meets alone, that one, with its name.
TEST_F(SeveralRanks, AnErrorIsSaidOnce) {
  const Outcome o = place_->train(words({"--nproc=2", "--run_name=wrong", "--dtype=float16"}));
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, StartsWith("fathom: dtype = float16 cannot be trained"));
  EXPECT_EQ(o.err.find("dtype = float16"), o.err.rfind("dtype = float16")) << o.err;
  EXPECT_EQ(o.err.find("[rank"), std::string::npos) << o.err;
}

// The others have nothing to add but that it failed.
TEST_F(SeveralRanks, AnErrorOfOneIsSaidByThatOne) {
  std::filesystem::create_directory(place_->path("broken"));
  place_->write("broken/fathom.db", "no database");
  const Outcome o =
      place_->wait_for(place_->start_train(words({"--nproc=2", "--run_name=any"}), [&] {
        setenv("FATHOM_RUNS", place_->path("broken").c_str(), 1);
      }));
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, HasSubstr("fathom.db is damaged"));
  EXPECT_EQ(o.err.find("fathom: "), o.err.rfind("fathom: ")) << o.err;
}

TEST_F(SeveralRanks, ReturnToACheckpointTogether) {
  const Outcome o = place_->train(
      words({"--run_name=back", "--nproc=2", "--nonfinite=rollback", "--learning_rate=1e30",
             "--warmup_iters=0", "--decay_lr=False", "--grad_clip=0", "--quiet"}));
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, HasSubstr("10 returns to step"));
  EXPECT_EQ(o.err.find("returns to step"), o.err.rfind("returns to step")) << "said once";
}

TEST_F(SeveralRanks, OneThatIsKilledEndsAll) {
  const pid_t parent = start_long("killed");
  kill(ranks_of(parent, 2)[1], SIGKILL);
  const std::string sentence = "rank 1 was ended by signal 9";
  const Outcome o = expect_loss_of("killed", parent, sentence);
  EXPECT_EQ(o.exit_code, 137);
  EXPECT_EQ(o.err.find(sentence), o.err.rfind(sentence)) << "said once\n" << o.err;
}

TEST_F(SeveralRanks, OneThatIsStoppedEndsAll) {
  const pid_t parent = start_long("stopped");
  kill(ranks_of(parent, 2)[1], SIGSTOP);
  expect_loss_of("stopped", parent, "rank 1 ");
}

TEST_F(SeveralRanks, ASignalToOneSavesOnceAndEndsAll) {
  const pid_t parent = start_long("signal");
  kill(ranks_of(parent, 2)[1], SIGTERM);
  const Outcome o = place_->wait_for(parent);
  EXPECT_EQ(o.exit_code, 143);
  EXPECT_EQ(o.err, "");
  EXPECT_THAT(o.out, HasSubstr("interrupted; saved at step"));
  EXPECT_GE(place_->saved_step("signal"), 10);
}

TEST_F(SeveralRanks, ASignalToTheFirstProcessDoesTooAndNobodyElseCouldConnect) {
  const pid_t parent = start_long("all");
  for (const pid_t rank : ranks_of(parent, 2)) {
    for (const std::string& address : listening(rank))
      EXPECT_EQ(address.rfind("0100007F:", 0), 0U) << address << " is open to others";
  }
  kill(parent, SIGINT);
  const Outcome o = place_->wait_for(parent);
  EXPECT_EQ(o.exit_code, 130);
  EXPECT_EQ(o.err, "");
  EXPECT_THAT(o.out, HasSubstr("interrupted; saved at step"));
}

}  // namespace
}  // namespace fathom::testing
