// Ranks that are lost, as seen by the others: with numbers in memory and a clock that is told.
#include "fathom/parallel/heartbeat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

namespace fathom {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Numbers of all ranks, which may be out of reach or never answer.
struct Board {
  std::mutex mutex;
  std::vector<int64_t> numbers;
  bool broken = false;
  bool stuck = false;
  int asked = 0;
};

class BoardCounters : public Counters {
 public:
  explicit BoardCounters(std::shared_ptr<Board> board) : board_(std::move(board)) {}
  int64_t add(int slot, int64_t by) override {
    std::unique_lock<std::mutex> lock(board_->mutex);
    ++board_->asked;
    while (board_->stuck) {
      lock.unlock();
      std::this_thread::sleep_for(5ms);
      lock.lock();
    }
    if (board_->broken) throw std::runtime_error("no answer");
    return board_->numbers[static_cast<size_t>(slot)] += by;
  }

 private:
  std::shared_ptr<Board> board_;
};

std::shared_ptr<Board> board_of(int size) {
  auto board = std::make_shared<Board>();
  board->numbers.resize(static_cast<size_t>(heartbeat_slots::count(size)));
  return board;
}

class Watching : public ::testing::Test {
 protected:
  // Rank 0 looks every two seconds, for so many of them; the others beat as `beats` says.
  std::optional<LostRank> look(int seconds, const std::vector<int>& beating) {
    std::optional<LostRank> lost;
    for (int s = 0; s < seconds && !lost; s += 2) {
      now_ += 2s;
      for (const int rank : beating) counters_.add(heartbeat_slots::beats(rank), 1);
      lost = watch_.look(counters_, now_);
    }
    return lost;
  }
  std::shared_ptr<Board> board_ = board_of(3);
  BoardCounters counters_{board_};
  HeartbeatWatch watch_{0, 3, {}};
  HeartbeatClock::time_point now_ = {};
};

TEST_F(Watching, WhoBeatsIsThere) {
  EXPECT_FALSE(look(100, {1, 2}));
  EXPECT_EQ(board_->numbers[0], 50) << "and beats itself";
}

TEST_F(Watching, WhoIsSilentForTenSecondsIsLost) {
  EXPECT_FALSE(look(20, {1, 2}));
  EXPECT_FALSE(look(10, {1}));
  const auto lost = look(4, {1});
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->rank, 2);
  EXPECT_THAT(as_error(*lost).what(), HasSubstr("rank 2 is not heard of any more"));
  // All are told the same, also by whom another one is found.
  HeartbeatWatch other(1, 3, {});
  EXPECT_EQ(other.look(counters_, now_)->rank, 2);
  EXPECT_EQ(tell_lost(counters_, 3, {1, LossKind::kSilent}).rank, 2);
}

TEST_F(Watching, WhoSleptItselfBlamesNobody) {
  EXPECT_FALSE(look(20, {1, 2}));
  now_ += 1h;
  EXPECT_FALSE(look(10, {}));
  EXPECT_TRUE(look(4, {}));
}

TEST_F(Watching, WhoHasFinishedIsNotMissed) {
  EXPECT_FALSE(look(4, {1, 2}));
  Launch launch;
  launch.rank = 2, launch.size = 3;
  Heartbeat(launch, std::make_unique<BoardCounters>(board_)).finish();
  EXPECT_FALSE(look(60, {1}));
}

TEST_F(Watching, WhoFailedIsToldAtOnce) {
  EXPECT_FALSE(look(4, {1, 2}));
  Launch launch;
  launch.rank = 2, launch.size = 3;
  try {
    const Heartbeat heartbeat(launch, std::make_unique<BoardCounters>(board_));
    throw std::runtime_error("no memory");
  } catch (const std::exception&) {
  }
  const auto lost = look(2, {1});
  ASSERT_TRUE(lost);
  EXPECT_THAT(as_error(*lost).what(), HasSubstr("rank 2 has ended with an error"));
}

// What all end with; rank 0 and its launcher may say it, and the first of them does.
TEST_F(Watching, OneErrorIsSaidOnce) {
  const Error error(ErrorKind::kUsage, "no such key", "");
  EXPECT_FALSE(is_said(counters_, 3, error, /*speaks=*/false, 0ms)) << "nobody has said it";
  EXPECT_FALSE(is_said(counters_, 3, error, /*speaks=*/true, 0ms));
  EXPECT_TRUE(is_said(counters_, 3, error, /*speaks=*/true, 0ms));
  EXPECT_TRUE(is_said(counters_, 3, error, /*speaks=*/false, 0ms));
  EXPECT_FALSE(is_said(counters_, 3, {ErrorKind::kFailure, "a full disk", ""}, false, 0ms));
}

TEST_F(Watching, ManyRanksAreWatchedByFew) {
  const auto board = board_of(1000);
  BoardCounters counters(board);
  HeartbeatWatch(998, 1000, {}).look(counters, now_);
  EXPECT_LE(board->asked, 12) << "or a store with a thousand ranks would do nothing else";
}

// The threads, with times a hundredth of the usual ones.
class Threads : public ::testing::Test {
 protected:
  Threads() { launch_.size = 2; }
  std::unique_ptr<Heartbeat> heartbeat(int rank) {
    launch_.rank = rank;
    return std::make_unique<Heartbeat>(launch_, std::make_unique<BoardCounters>(board_),
                                       HeartbeatTimes{20ms, 200ms, 100ms, 8, 10s},
                                       [this](const Error& error) {
                                         const std::lock_guard<std::mutex> lock(mutex_);
                                         said_ = error.what();
                                         changed_.notify_all();
                                       });
  }
  std::string said() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, 30s, [&] { return !said_.empty(); });
    return said_;
  }
  Launch launch_;
  std::shared_ptr<Board> board_ = board_of(2);
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string said_;
};

TEST_F(Threads, OneThatIsAloneEndsWithASentence) {
  const auto own = heartbeat(0);
  EXPECT_THAT(said(), HasSubstr("rank 1 is not heard of any more"));
  EXPECT_EQ(own->lost()->rank, 1);
}

TEST_F(Threads, AStoreThatDoesNotAnswerIsRankZeroLost) {
  board_->broken = true;
  const auto own = heartbeat(1), other = heartbeat(0);
  EXPECT_THAT(said(), HasSubstr("rank 0 does not answer"));
  EXPECT_FALSE(own->is_said({ErrorKind::kFailure, "mine", ""})) << "nobody is asked in vain";
}

// Whoever of the two is first.
TEST_F(Threads, ARankWaitsForTheFirstToSayIt) {
  const Error error(ErrorKind::kFailure, "the loss is nan", "");
  const auto own = heartbeat(1), first = heartbeat(0);
  std::thread later([&] {
    std::this_thread::sleep_for(30ms);
    EXPECT_FALSE(first->is_said(error));
  });
  EXPECT_TRUE(own->is_said(error));
  later.join();
}

// Where they share a console, that one rank failed is no news of the others.
TEST_F(Threads, AnErrorThatFollowsAnothersIsSaidToo) {
  launch_.file = "ranks of --nproc";
  try {
    const auto first = heartbeat(0);
    throw std::runtime_error("a full disk");
  } catch (const std::runtime_error&) {
  }
  const auto own = heartbeat(1);
  for (int i = 0; i < 10'000 && !own->lost(); ++i) std::this_thread::sleep_for(1ms);
  ASSERT_TRUE(own->lost());
  EXPECT_EQ(own->lost()->kind, LossKind::kFailed);
  EXPECT_TRUE(own->is_said({ErrorKind::kFailure, "rank 0 has ended with an error", ""}));
}

TEST_F(Threads, NorDoesOneThatHangsHoldAnybodyUp) {
  {
    const auto own = heartbeat(1), other = heartbeat(0);
    board_->stuck = true;
    EXPECT_THAT(said(), HasSubstr("rank 0 does not answer"));
  }
  board_->stuck = false;
}

TEST(FileCounters, AreSharedByAllWhoOpenThem) {
  std::string folder = std::filesystem::temp_directory_path() / "fathom-counters-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const auto a = counters_in_file(folder + "/numbers", 2);
  const auto b = counters_in_file(folder + "/numbers", 2);
  EXPECT_EQ(a->add(3, 2), 2);
  EXPECT_EQ(b->add(3, -1), 1);
  EXPECT_EQ(b->add(2, 0), 0);
  EXPECT_THROW(counters_in_file(folder + "/none/numbers", 2), Error);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace fathom
