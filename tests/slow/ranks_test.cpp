// Ranks that are killed at any moment, and two hosts with a bad line between them.

#include <cstdio>
#include <random>
#include <sstream>

#include "e2e/small_run.h"
#include "slow/bad_line.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;

const Words kTwoPasses = {"--batch_size=2", "--gradient_accumulation_steps=2",
                          "--checkpoint_interval=2"};

Words shared(const Words& more) {
  Words all = kTwoPasses;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

// A process's children, in the order in which they were started.
std::vector<pid_t> children_of(pid_t parent) {
  const std::string number = std::to_string(parent);
  std::istringstream text(slurp("/proc/" + number + "/task/" + number + "/children"));
  std::vector<pid_t> found;
  for (pid_t child = 0; text >> child;) found.push_back(child);
  return found;
}

void expect_bytes_of(const SmallRuns& place, const std::string& run, const std::string& whole) {
  for (const char* file : {"model.safetensors", "optimizer.safetensors"})
    EXPECT_TRUE(slurp(place.checkpoint(run, "last") + "/" + file) ==
                slurp(place.checkpoint(whole, "last") + "/" + file))
        << file;
}

TEST(Ranks, TenKillsOfARandomOne) {
  const SmallRuns place;
  ASSERT_EQ(place.train(shared({"--nproc=2", "--run_name=whole"})).exit_code, 0);
  std::mt19937 generator(23);
  double longest = 0;
  for (int i = 0; i < 10; ++i) {
    SCOPED_TRACE(i);
    const std::string run = "killed" + std::to_string(i);
    const pid_t parent = place.start_train(shared({"--nproc=2", "--run_name=" + run}));
    ASSERT_TRUE(place.wait_until_there("runs/" + run + "/checkpoints/last"));
    std::this_thread::sleep_for(std::chrono::microseconds(generator() % 300'000));
    const std::vector<pid_t> ranks = children_of(parent);
    if (ranks.size() == 2) kill(ranks[generator() % 2], SIGKILL);  // else it was done before
    const auto begin = std::chrono::steady_clock::now();
    const Outcome o = place.wait_for(parent);
    longest = std::max(longest, seconds_since(begin));
    EXPECT_TRUE(o.exit_code == 137 || ranks.size() < 2) << o.exit_code << "\n" << o.err;
    const Outcome again = place.train(shared({"--nproc=2", "--run_name=" + run, "--resume"}));
    EXPECT_EQ(again.exit_code, 0) << again.err;
    expect_bytes_of(place, run, "whole");
  }
  std::printf("from a kill to the end of all: %.1f s at most\n", longest);
  EXPECT_LT(longest, 30);
}

class TwoHosts : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!line_.is_there()) GTEST_SKIP() << "only root may have such hosts, with iproute2 and tun";
  }
  // Rank i on host i, by torchrun's variables; their consoles are files of their own.
  pid_t start(int rank, const Words& more) const {
    return place_.start_train(shared(more), [&] {
      const std::string number = std::to_string(rank);
      for (const auto& [name, value] : {std::pair<const char*, std::string>{"RANK", number},
                                        {"WORLD_SIZE", "2"},
                                        {"LOCAL_RANK", "0"},
                                        {"LOCAL_WORLD_SIZE", "1"},
                                        {"MASTER_ADDR", BadLine::address(0)},
                                        {"MASTER_PORT", "29500"}})
        setenv(name, value.c_str(), 1);
      if (!BadLine::move_to(rank)) _exit(126);
      for (const auto& [name, stream] : {std::pair{"out", 1}, {"err", 2}})
        dup2(open(place_.path(name + number).c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), stream);
    });
  }
  std::string said(const std::string& name) const { return slurp(place_.path(name)); }

  const BadLine line_{std::chrono::milliseconds(3), 0.01};
  SmallRuns place_;
};

TEST_F(TwoHosts, TrainOverALineThatDelaysAndLoses) {
  ASSERT_EQ(place_.train(shared({"--nproc=2", "--run_name=whole"})).exit_code, 0);
  const Words words = {"--run_name=far"};
  const pid_t first = start(0, words), second = start(1, words);
  EXPECT_EQ(place_.wait_for(first).exit_code, 0) << said("err0");
  EXPECT_EQ(place_.wait_for(second).exit_code, 0) << said("err1");
  expect_bytes_of(place_, "far", "whole");
}

TEST_F(TwoHosts, WhereOneSideIsCutOffBothEnd) {
  const Words words = {"--run_name=cut", "--max_iters=1000000", "--eval_interval=100000"};
  const pid_t first = start(0, words), second = start(1, words);
  ASSERT_TRUE(place_.wait_until_there("runs/cut/checkpoints/last"));
  for (int i = 0; i < 3000 && said("out0").find("step 10/") == std::string::npos; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  line_.cut();
  const auto begin = std::chrono::steady_clock::now();
  const int codes[] = {place_.wait_for(first).exit_code, place_.wait_for(second).exit_code};
  const double seconds = seconds_since(begin);
  std::printf("from a cut line to the end of both: %.1f s\n", seconds);
  EXPECT_LT(seconds, 30);
  EXPECT_EQ(codes[0], 1);
  EXPECT_EQ(codes[1], 1);
  EXPECT_THAT(said("err0"), HasSubstr("rank 1 "));
  EXPECT_THAT(said("err1"), HasSubstr("rank 0 "));
  EXPECT_GE(place_.saved_step("cut"), 2);
}

}  // namespace
}  // namespace fathom::testing
