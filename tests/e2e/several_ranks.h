// Several processes that train one run, as users start them, and what they said.
#pragma once

#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "e2e/small_run.h"

namespace fathom::testing {

// Two passes a step, which two ranks share.
inline const Words kTwoPasses = {"--batch_size=2", "--gradient_accumulation_steps=2",
                                 "--checkpoint_interval=5", "--lr_decay_iters=60"};

// Addresses at which a process listens, as the kernel has them in its tables.
inline std::set<std::string> listening(pid_t process) {
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
    EXPECT_THAT(o.err, ::testing::HasSubstr(sentence));
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
      EXPECT_THAT(o.exit_code, ::testing::AnyOf(128 + SIGINT, 128 + SIGTERM));
      EXPECT_THAT(o.err, ::testing::Not(::testing::HasSubstr("fathom:")));
    }
    const std::string sentence = "interrupted; saved at step", &out = ranks[0].out;
    EXPECT_THAT(out, ::testing::HasSubstr(sentence));
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

  static inline SmallRuns* place_ = nullptr;
};

}  // namespace fathom::testing
