// Ranks started and ended by one process; here they are shells.
#include "fathom/parallel/local_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "errors.h"
#include "fathom/parallel/heartbeat.h"

namespace fathom {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LocalRanksTest : public ::testing::Test {
 protected:
  LocalRanksTest() {
    std::string name = std::filesystem::temp_directory_path() / "fathom-local-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
    std::filesystem::create_directory(folder_ + "/tmp");
  }
  ~LocalRanksTest() override { std::filesystem::remove_all(folder_); }

  // In a process of its own, as `fathom` is. `script` is every rank's, in the folder.
  pid_t start(const std::string& script, int size, LocalRanksTimes times = {400ms, 400ms},
              const Launch& around = {}) {
    const pid_t child = fork();
    if (child != 0) return child;
    if (chdir(folder_.c_str()) != 0) _exit(99);
    setenv("TMPDIR", (folder_ + "/tmp").c_str(), 1);
    if (freopen("err", "w", stderr) == nullptr) _exit(99);
    int code = 98;
    try {
      code = run_local_ranks("/bin/sh", {"sh", "-c", script}, size, around, times);
    } catch (const std::exception&) {
    }
    _exit(code);
  }
  static int wait_for(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  int run(const std::string& script, int size) { return wait_for(start(script, size)); }
  std::string text(const std::string& name) const {
    std::ifstream file(folder_ + "/" + name);
    std::ostringstream out;
    out << file.rdbuf();
    return out.str();
  }
  bool wait_until_there(const std::string& name) const {
    for (int i = 0; i < 3000 && !std::filesystem::exists(folder_ + "/" + name); ++i)
      std::this_thread::sleep_for(10ms);
    return std::filesystem::exists(folder_ + "/" + name);
  }
  pid_t process_of(const std::string& name) const { return std::stoi(text(name)); }
  std::string folder_;
};

TEST_F(LocalRanksTest, EachKnowsItsRank) {
  EXPECT_EQ(run("echo $RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE > out$RANK; "
                "test -s /proc/self/fd/${FATHOM_RANKS#*,} && test -z \"$MASTER_PORT\" && "
                "echo ok >> out$RANK",
                3),
            0);
  EXPECT_EQ(text("out0"), "0 3 0 3\nok\n");
  EXPECT_EQ(text("out2"), "2 3 2 3\nok\n");
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "/tmp")) << "nothing is left of the meeting";
}

TEST_F(LocalRanksTest, TheFirstThatFailsEndsAll) {
  EXPECT_EQ(run("test $RANK = 1 && exit 7; exec sleep 100", 3), 7);
  EXPECT_EQ(text("err"), "") << "it has said itself what was wrong";
}

TEST_F(LocalRanksTest, OneThatIsKilledIsNamedToAll) {
  const pid_t child = start(
      "echo $$ > pid$RANK; echo > there$RANK; "
      "while sleep 0.05; do cp /proc/self/fd/${FATHOM_RANKS#*,} after$RANK; done",
      2);
  ASSERT_TRUE(wait_until_there("there1") && wait_until_there("there0"));
  kill(process_of("pid1"), SIGKILL);
  EXPECT_EQ(wait_for(child), 137);
  EXPECT_THAT(text("err"), HasSubstr("rank 1 was ended by signal 9 (Killed)"));
  const auto counters = counters_in_file(folder_ + "/after0", 2);
  HeartbeatWatch watch(0, 2, {});
  const auto lost = watch.look(*counters, {});
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->rank, 1);
  EXPECT_EQ(lost->signal, SIGKILL);
  EXPECT_TRUE(is_said(*counters, 2, as_error(*lost), /*speaks=*/true, 0ms)) << "by the launcher";
}

TEST_F(LocalRanksTest, OneThatIsStoppedEndsAllUnlessItGoesOn) {
  const std::string script = "echo $$ > pid$RANK; echo > there$RANK; exec sleep 1";
  pid_t child = start(script, 2);
  ASSERT_TRUE(wait_until_there("there0"));
  kill(process_of("pid0"), SIGSTOP);
  std::this_thread::sleep_for(100ms);
  kill(process_of("pid0"), SIGCONT);
  EXPECT_EQ(wait_for(child), 0);
  EXPECT_EQ(text("err"), "");
  std::filesystem::remove(folder_ + "/there0");
  child = start(script, 2, {200ms, 200ms});
  ASSERT_TRUE(wait_until_there("there0"));
  kill(process_of("pid0"), SIGSTOP);
  EXPECT_NE(wait_for(child), 0);
  EXPECT_THAT(text("err"), HasSubstr("rank 0 was stopped by signal 19"));
}

// A rank that trains would have saved: so nobody has anything to save, and nobody waits.
TEST_F(LocalRanksTest, OneThatWasAskedToEndBeforeItCouldTrainEndsAllAtOnce) {
  const std::string script =
      "echo $$ > pid$RANK; test $RANK = 1 && echo > there1 && exec sleep 100; "
      "trap '' TERM; echo > there$RANK; while true; do sleep 0.01; done";
  for (const bool told_itself : {true, false}) {
    const pid_t child = start(script, 2, {20s, 20s, 50ms});
    ASSERT_TRUE(wait_until_there("there1") && wait_until_there("there0"));
    const auto begin = std::chrono::steady_clock::now();
    kill(told_itself ? process_of("pid1") : child, SIGTERM);
    EXPECT_EQ(wait_for(child), 143);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
    EXPECT_EQ(text("err"), "") << "nobody was lost";
    for (const char* name : {"there0", "there1"}) std::filesystem::remove(folder_ + "/" + name);
  }
}

// Passed on once, with time to save; and a second one ends at once.
TEST_F(LocalRanksTest, ASignalReachesEachOnce) {
  const std::string script =
      "trap 'echo TERM >> got$RANK; test -e twice || { sleep 1; exit 143; }' TERM; "
      "trap 'exit 130' INT; echo > there$RANK; while true; do sleep 0.01; done";
  pid_t child = start(script, 2);
  ASSERT_TRUE(wait_until_there("there0") && wait_until_there("there1"));
  kill(child, SIGTERM);
  ASSERT_TRUE(wait_until_there("got0"));
  kill(child, SIGHUP);
  EXPECT_EQ(wait_for(child), 143);
  EXPECT_EQ(text("got0"), "TERM\n");
  EXPECT_EQ(text("got1"), "TERM\n");
  EXPECT_EQ(text("err"), "");
  for (const char* name : {"there0", "there1", "got0", "got1"})
    std::filesystem::remove(folder_ + "/" + name);
  std::ofstream(folder_ + "/twice") << "";
  child = start(script, 2);
  ASSERT_TRUE(wait_until_there("there0") && wait_until_there("there1"));
  kill(child, SIGTERM);
  ASSERT_TRUE(wait_until_there("got0") && wait_until_there("got1"));
  kill(child, SIGINT);
  EXPECT_EQ(wait_for(child), 130);
}

// Slurm sends TERM twice, torchrun one after what the terminal has sent.
TEST_F(LocalRanksTest, ALaunchersEchoIsNoSecondSignal) {
  Launch around;
  around.by = "srun";
  const pid_t child = start(
      "echo $FATHOM_RANKS_LAUNCH > launch$RANK; trap 'echo TERM >> got$RANK; sleep 1; exit 143' "
      "TERM; trap 'echo INT >> got$RANK; exit 130' INT; echo > there$RANK; "
      "while true; do sleep 0.01; done",
      2, {400ms, 400ms}, around);
  ASSERT_TRUE(wait_until_there("there0") && wait_until_there("there1"));
  kill(child, SIGTERM);
  ASSERT_TRUE(wait_until_there("got0"));
  kill(child, SIGINT);
  EXPECT_EQ(wait_for(child), 143);
  EXPECT_EQ(text("got0") + text("got1"), "TERM\nTERM\n");
  EXPECT_EQ(text("launch1"), handed_on(around) + "\n");
}

// One that leaves its processes alone when it is killed.
TEST_F(LocalRanksTest, TheyEndWithALauncherThatWouldLeaveThem) {
  const pid_t launcher = fork();
  if (launcher == 0) {
    Launch around;
    around.by = "torchrun";
    around.leaves_alone = true;
    around.parent = getpid();
    start(
        "trap 'echo > ended$RANK; exit 143' TERM; echo > there$RANK; "
        "while true; do sleep 0.01; done",
        2, {400ms, 400ms}, around);
    while (true) pause();
  }
  ASSERT_TRUE(wait_until_there("there0") && wait_until_there("there1"));
  kill(launcher, SIGKILL);
  waitpid(launcher, nullptr, 0);
  EXPECT_TRUE(wait_until_there("ended0") && wait_until_there("ended1"));
}

TEST_F(LocalRanksTest, TheyEndWithTheOneThatStartedThem) {
  const pid_t child = start(
      "trap 'echo > ended$RANK; exit 1' TERM; echo > there$RANK; "
      "while true; do sleep 0.01; done",
      2);
  ASSERT_TRUE(wait_until_there("there0") && wait_until_there("there1"));
  kill(child, SIGKILL);
  wait_for(child);
  EXPECT_TRUE(wait_until_there("ended0") && wait_until_there("ended1"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "/tmp")) << "nor is anything left of a meeting";
}

TEST_F(LocalRanksTest, OnlyRankZeroHasTheInput) {
  EXPECT_EQ(run("readlink /proc/$$/fd/0 > in$RANK; true", 2), 0);
  EXPECT_EQ(text("in1"), "/dev/null\n");
}

TEST_F(LocalRanksTest, AProgramThatIsMissingIsTold) {
  const pid_t child = fork();
  if (child == 0) {
    if (chdir(folder_.c_str()) != 0 || freopen("err", "w", stderr) == nullptr) _exit(99);
    _exit(run_local_ranks(folder_ + "/none", {"none"}, 2, {}));
  }
  EXPECT_EQ(wait_for(child), 127);
  EXPECT_THAT(text("err"), HasSubstr("none cannot be started"));
}

}  // namespace
}  // namespace fathom
