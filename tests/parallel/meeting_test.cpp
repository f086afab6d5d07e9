// How ranks meet, and what is said where they do not: for each of the others' errors another
// reason, which a user can act on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "errors.h"
#include "fathom/parallel/watched_ranks.h"
#include "fathom/track/guarded.h"
#include "launch/listener.h"
#include "parallel/rank_threads.h"

namespace fathom::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Launch rank_of(int rank, int size, int port) {
  Launch launch;
  launch.rank = launch.local_rank = rank;
  launch.size = launch.local_size = size;
  launch.address = "127.0.0.1";
  launch.port = port;
  return launch;
}

// As torchrun starts them that hosts the store itself.
Launch with_store_of_torchrun(Launch launch) {
  launch.store_is_there = true;
  launch.by = "torchrun";
  return launch;
}

// Two of them, as `fathom train` has them, each in a thread; what they said.
std::vector<std::string> watched(const std::function<Launch(int rank)>& launch) {
  return on_each(2, [&](int rank) {
    WatchedRanks ranks(launch(rank));
    EXPECT_TRUE(ranks.ranks()->any(rank == 1));
    ranks.part();
  });
}

void end_connection(Listener& /*listener*/, int /*connection*/, int /*number*/) {}

// Which ends connections that do not begin as its own do. Agents count restarts each for itself.
TEST(Meeting, AStoreOfAnotherVersionIsMetBeside) {
  Listener foreign(end_connection);
  expect_no_errors(watched([&](int rank) {
    Launch launch = with_store_of_torchrun(rank_of(rank, 2, foreign.port()));
    launch.restarts = rank;
    return launch;
  }));
  EXPECT_EQ(foreign.served(), 4) << "each has asked twice";
}

TEST(Meeting, AStoreThatIsGoneIsNoOtherVersion) {
  Listener leaves([](Listener& listener, int, int number) {
    if (number > 0) return;
    // libtorch's client has two, and a thread of its own for the second, which ends the process
    // where that is reset: one look, and both of them.
    for (int i = 0; i < 100 && listener.accepted() < 3; ++i) std::this_thread::sleep_for(10ms);
    listener.stop_listening();
  });
  EXPECT_THAT(
      caught([&] { WatchedRanks(with_store_of_torchrun(rank_of(1, 2, leaves.port()))); }).what(),
      AllOf(HasSubstr("torchrun's store at 127.0.0.1:" + std::to_string(leaves.port())),
            HasSubstr("Connection refused")));
}

// One connection broken is no reason to take rank 0's store for another program.
TEST(Meeting, AConnectionThatBreaksOnceIsTriedAgain) {
  const int port = free_port();
  Listener line([&](Listener& listener, int connection, int number) {
    if (number > 0) listener.forward(connection, port);
  });
  expect_no_errors(on_each(2, [&](int rank) {
    Ranks ranks(rank_of(rank, 2, rank == 0 ? port : line.port()));
    EXPECT_TRUE(ranks.any(rank == 1));
  }));
  EXPECT_GT(line.served(), 1);
}

TEST(Meeting, AnotherProgramOnThePortIsTold) {
  Listener web([](Listener&, int connection, int) {
    const std::string words = "HTTP/1.1 400 Bad Request\r\n\r\n";
    send(connection, words.data(), words.size(), MSG_NOSIGNAL);
  });
  const Error error = caught([&] { Ranks(rank_of(1, 2, web.port())); });
  EXPECT_THAT(error.what(), AllOf(StartsWith("what listens at 127.0.0.1:" +
                                             std::to_string(web.port()) + " is not rank 0's store"),
                                  HasSubstr("rank 1 of 2")));
  EXPECT_THAT(error.hint(), HasSubstr("MASTER_PORT"));
}

TEST(Meeting, OneThatSaysNothingIsTold) {
  Listener mute([](Listener& listener, int, int) {
    while (!listener.ends()) std::this_thread::sleep_for(5ms);
  });
  RanksOptions options;
  options.timeout = 300ms;
  EXPECT_THAT(caught([&] { Ranks(rank_of(1, 2, mute.port()), options); }).what(),
              AllOf(HasSubstr("no answer from rank 0 at 127.0.0.1:" + std::to_string(mute.port())),
                    HasSubstr("said nothing for 0.3 s")));
}

TEST(Meeting, RankZeroSaysThatItsPortIsTaken) {
  Listener other(Listener::kNotYet);
  other.listen_now();
  const Error error = caught([&] { Ranks(rank_of(0, 2, other.port())); });
  EXPECT_THAT(error.what(), StartsWith("rank 0 cannot listen at port " +
                                       std::to_string(other.port()) + ", where"));
  EXPECT_THAT(error.what(), HasSubstr("Address already in use"));
  EXPECT_THAT(error.hint(), HasSubstr("MASTER_PORT"));
}

TEST(Meeting, WhoIsMissingIsToldWhileItIsWaitedFor) {
  const int port = free_port();
  const std::string place = "127.0.0.1:" + std::to_string(port);
  std::vector<std::string> told;
  RanksOptions options;
  options.start_timeout = 500ms;
  options.silence = 50ms;
  options.note = [&](const std::string& sentence) { told.push_back(sentence); };
  EXPECT_EQ(
      std::string(caught([&] { Ranks(rank_of(0, 3, port), options); }).what()),
      "rank 0 of 3 did not meet the others at " + place + " within 0.5 s: it waits for ranks 1, 2");
  EXPECT_THAT(told, ElementsAre("rank 0 at " + place + " waits for ranks 1, 2"));
}

// Before they meet all end with the same words, and local rank 0 says them; after it each has its
// own, which nobody else says.
TEST(Meeting, AnErrorAfterItIsSaidAtOnce) {
  delay_errors(1min);
  const int port = free_port();
  expect_no_errors(watched([&](int rank) { return rank_of(rank, 2, port); }));
  const auto begin = std::chrono::steady_clock::now();
  ::testing::internal::CaptureStderr();
  const int code = guarded([](int, char**) -> int { fail("its disk is full"); }, 0, nullptr);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("its disk is full"));
  EXPECT_EQ(code, 1);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 30s);
  delay_errors({});
}

}  // namespace
}  // namespace fathom::testing
