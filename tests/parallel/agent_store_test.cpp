// How ranks meet in a store that outlives their starts, as torchrun's agent keeps it: it holds what
// earlier starts have left, and agents count starts each for itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/version.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "e2e/small_run.h"
#include "fathom/parallel/meeting.h"
#include "fathom/parallel/watched_ranks.h"
#include "parallel/rank_threads.h"

namespace fathom::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class AgentStore : public ::testing::Test {
 protected:
  static c10::intrusive_ptr<c10d::TCPStore> opened() {
    c10d::TCPStoreOptions options;
    options.port = 0;
    options.isServer = true;
    options.waitWorkers = false;
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
    options.useLibUV = false;
#endif
    return c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  }

  Launch launch(int rank, int size, int restarts = 0) const {
    Launch launch;
    launch.rank = launch.local_rank = rank;
    launch.size = launch.local_size = size;
    launch.address = "127.0.0.1";
    launch.port = store_->getPort();
    launch.store_is_there = true;
    launch.restarts = restarts;
    launch.by = "torchrun";
    return launch;
  }
  static RanksOptions within(std::chrono::milliseconds patience) {
    RanksOptions options;
    options.start_timeout = patience;
    return options;
  }
  // What it threw; empty: it has met the others.
  std::string meet(int rank, int size, std::chrono::milliseconds patience = 20s) const {
    try {
      Ranks ranks(launch(rank, size), within(patience));
      EXPECT_TRUE(ranks.any(rank == 1));
      return "";
    } catch (const std::exception& e) {
      return e.what();
    }
  }
  // Begun in a thread of its own, and the next one when this one has said hello.
  std::thread begin(std::string& error, int rank, int size,
                    std::chrono::milliseconds patience = 20s) const {
    const int64_t before = count("hellos");
    std::thread thread([=, &error] { error = meet(rank, size, patience); });
    for (int i = 0; i < 1000 && count("hellos") == before; ++i) std::this_thread::sleep_for(10ms);
    return thread;
  }
  int64_t count(const std::string& key) const {
    return store_->add("fathom/" + key, 0);
  }
  void leave(const std::string& key, const std::string& text) const {
    store_->set("fathom/" + key, std::vector<uint8_t>(text.begin(), text.end()));
  }
  std::string place() const {
    return "127.0.0.1:" + std::to_string(store_->getPort());
  }

  const c10::intrusive_ptr<c10d::TCPStore> store_ = opened();
};

TEST_F(AgentStore, CountsOfRestartsNeedNotBeEqual) {
  expect_no_errors(on_each(2, [&](int rank) {
    Ranks ranks(launch(rank, 2, /*restarts=*/1 - rank), within(10s));
    EXPECT_TRUE(ranks.any(rank == 1));
  }));
}

// The second of two with the same counts would find the keys and the heartbeats of the first.
TEST_F(AgentStore, EachStartIsOnItsOwn) {
  std::set<std::string> meetings;
  for (int start = 0; start < 3; ++start)
    expect_no_errors(on_each(2, [&](int rank) {
      WatchedRanks ranks(launch(rank, 2));
      EXPECT_TRUE(ranks.ranks()->any(rank == 1));
      if (rank == 0) {
        const std::string meeting = ranks.ranks()->meeting();
        EXPECT_TRUE(meetings.insert(meeting).second);
        const std::string beats = meeting + "/heartbeat/1";
        for (int i = 0; i < 500 && count(beats) == 0; ++i) std::this_thread::sleep_for(10ms);
        EXPECT_GT(count(beats), 0);
        EXPECT_LT(count(beats), 100) << "it has not finished yet";
      }
      ranks.part();
    }));
}

// Of a start of more ranks, which met.
TEST_F(AgentStore, WhatTheDeadHaveLeftIsNobodys) {
  for (int rank = 0; rank < 3; ++rank) leave("hello/" + std::to_string(rank), "dead");
  leave("meeting", "old dead dead dead");
  for (const auto& [key, number] :
       {std::pair{"hellos", 3}, {"meetings", 2}, {"old/come", 3}, {"old/go", 1}})
    store_->add(std::string("fathom/") + key, number);
  std::string first, second;
  std::thread zero = begin(first, 0, 2);
  std::this_thread::sleep_for(200ms);
  std::thread one = begin(second, 1, 2);
  zero.join(), one.join();
  EXPECT_EQ(first + second, "");
}

TEST_F(AgentStore, ARankThatIsStartedAgainMeanwhileIsMet) {
  for (const int lost : {0, 1}) {
    std::string gone, errors[3];
    std::thread other = begin(errors[1 - lost], 1 - lost, 3);
    begin(gone, lost, 3, 1500ms).join();
    EXPECT_THAT(gone, HasSubstr(" within 1.5 s: it waits for rank 2"));
    std::thread again = begin(errors[lost], lost, 3);
    std::thread last = begin(errors[2], 2, 3);
    for (std::thread* thread : {&other, &again, &last}) thread->join();
    for (const std::string& error : errors) EXPECT_EQ(error, "") << lost;
  }
}

// Where both live, the later one is the rank.
TEST_F(AgentStore, OneThatAnotherHasReplacedEnds) {
  for (const int replaced : {0, 1}) {
    std::string gone, here, other;
    std::thread before = begin(gone, replaced, 2);
    std::thread after = begin(here, replaced, 2);
    std::thread with = begin(other, 1 - replaced, 2);
    before.join(), after.join(), with.join();
    EXPECT_THAT(gone, StartsWith("another process was started as rank " + std::to_string(replaced) +
                                 " of 2 at " + place()));
    EXPECT_EQ(here + other, "");
  }
}

TEST_F(AgentStore, WhoIsMissingIsNamedByAll) {
  leave("hello/1", "dead");
  std::string first, last;
  std::thread zero = begin(first, 0, 3, 2s), two = begin(last, 2, 3, 1500ms);
  zero.join(), two.join();
  EXPECT_EQ(first, "rank 0 of 3 did not meet the others at " + place() +
                       " within 2 s: it waits for rank 1");
  EXPECT_THAT(last, EndsWith(" within 1.5 s: it waits for rank 1"));
}

TEST_F(AgentStore, RankZeroIsMissedToo) {
  std::vector<std::string> told;
  RanksOptions options = within(300ms);
  options.silence = 50ms;
  options.note = [&](const std::string& sentence) { told.push_back(sentence); };
  EXPECT_EQ(
      on_each(1, [&](int) { Ranks(launch(1, 2), options); })[0],
      "rank 1 of 2 did not meet the others at " + place() + " within 0.3 s: it waits for rank 0");
  EXPECT_THAT(told, ElementsAre("rank 1 of 2 at " + place() + " waits for rank 0"));
}

// As processes. The agent of rank 0 has counted a restart, that of rank 1 has not.
TEST_F(AgentStore, RanksOfAnotherStartAreToldSo) {
  std::string late, other;
  {
    std::thread zero([&] { meet(0, 2); });
    meet(1, 2);
    zero.join();
  }
  // Another job's rank 1 that has found this one's store; and one that knows of three ranks.
  late = meet(1, 2, 300ms), other = meet(2, 3, 300ms);
  EXPECT_THAT(late, HasSubstr("within 0.3 s: those who are there have met without it"));
  EXPECT_THAT(other, HasSubstr("within 0.3 s: rank 0 is one of 2 there"));
}

#ifdef USE_C10D_GLOO
// As libtorch 2.6 has one whose machine was stopped: it is asked, and never answers.
class SilentStore : public c10d::Store {
 public:
  void set(const std::string& /*key*/, const std::vector<uint8_t>& /*value*/) override {}
  std::vector<uint8_t> get(const std::string& /*key*/) override { return {}; }
  int64_t add(const std::string& /*key*/, int64_t /*value*/) override {
    while (true) pause();
  }
  bool deleteKey(const std::string& /*key*/) override { return false; }
  bool check(const std::vector<std::string>& /*keys*/) override { return false; }
  int64_t getNumKeys() override { return 0; }
  void wait(const std::vector<std::string>& /*keys*/) override {}
  void wait(const std::vector<std::string>& /*keys*/,
            const std::chrono::milliseconds& /*timeout*/) override {}
};

TEST_F(AgentStore, OneThatIsSilentEndsTheProcess) {
  RanksOptions options = within(100ms);
  options.timeout = 100ms;
  const auto wait_for_ever = [&] {
    SilentStore store;
    Wait wait(options.start());
    fathom::meet(store, launch(1, 2), options, wait);
  };
  EXPECT_EXIT(wait_for_ever(), ::testing::ExitedWithCode(1), "the store does not answer any more");
}
#endif

TEST_F(AgentStore, ProcessesWhoseAgentsCountDifferentlyTrain) {
  const SmallRuns runs;
  std::vector<pid_t> ranks;
  for (const int rank : {0, 1})
    ranks.push_back(runs.start_train(
        {"--batch_size=2", "--gradient_accumulation_steps=2", "--max_iters=4",
         "--lr_decay_iters=60", "--run_name=met"},
        [&] {
          const std::string number = std::to_string(rank), port = std::to_string(store_->getPort());
          for (const auto& [name, value] : std::map<std::string, std::string>{
                   {"RANK", number},
                   {"LOCAL_RANK", number},
                   {"WORLD_SIZE", "2"},
                   {"LOCAL_WORLD_SIZE", "2"},
                   {"MASTER_ADDR", "127.0.0.1"},
                   {"MASTER_PORT", port},
                   {"TORCHELASTIC_RUN_ID", "none"},
                   {"TORCHELASTIC_RESTART_COUNT", rank == 0 ? "1" : "0"},
                   {"TORCHELASTIC_MAX_RESTARTS", "3"},
                   {"TORCHELASTIC_USE_AGENT_STORE", "True"}})
            setenv(name.c_str(), value.c_str(), 1);
          dup2(open(runs.path("err" + number).c_str(), O_CREAT | O_WRONLY, 0600), 2);
        }));
  for (const int rank : {0, 1})
    EXPECT_EQ(runs.wait_for(ranks[static_cast<size_t>(rank)]).exit_code, 0)
        << slurp(runs.path("err" + std::to_string(rank)));
  EXPECT_EQ(runs.saved_step("met"), 4);
}

}  // namespace
}  // namespace fathom::testing
