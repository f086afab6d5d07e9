// The way to the place where ranks meet: who is not there yet, who never comes, who is nobody.
#include "fathom/parallel/launch_reach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <functional>
#include <thread>
#include <vector>

#include "errors.h"
#include "launch/listener.h"

namespace fathom {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using testing::caught;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Listener;

// Rank 1 of two, each on a machine of its own.
Launch second_of_two(const std::string& address, int port) {
  Launch launch;
  launch.rank = 1;
  launch.size = 2;
  launch.address = address;
  launch.port = port;
  return launch;
}

// A name that no machine has, where that can be known here.
constexpr char kNobody[] = "no.such.host.invalid";
bool is_known_to_be_nobody() {
  addrinfo* found = nullptr;
  const int answer = getaddrinfo(kNobody, "1", nullptr, &found);
  if (answer == 0) freeaddrinfo(found);
  return answer == EAI_NONAME;
}

TEST(Reach, TheOwnAddressLeadsToTheOthers) {
  EXPECT_EQ(own_address(Launch()), "127.0.0.1");
  EXPECT_EQ(own_address(second_of_two("127.0.0.1", 29500)), "127.0.0.1");
  EXPECT_THAT(caught([] { own_address(second_of_two(kNobody, 29500)); }).what(),
              HasSubstr("no.such.host.invalid, cannot be reached from rank 1"));
}

// It may be known later: a container's is when it runs. What is waited for is told meanwhile.
TEST(Reach, ANameThatNobodyHasIsWaitedForAndTold) {
  if (!is_known_to_be_nobody()) GTEST_SKIP() << "no name server answers here";
  const Launch launch = second_of_two(kNobody, 29500);
  const std::function<void(Wait&)> ways[] = {
      [&](Wait& wait) { own_address(launch, wait); },
      [&](Wait& wait) { await_listener(launch, "rank 0", wait); }};
  for (const auto& way : ways) {
    std::vector<std::string> told;
    Wait wait({200ms, 10ms, [&](const std::string& sentence) { told.push_back(sentence); }});
    const Error error = caught([&] { way(wait); });
    EXPECT_THAT(error.what(), HasSubstr("no.such.host.invalid"));
    EXPECT_THAT(error.hint(), HasSubstr("MASTER_ADDR"));
    EXPECT_THAT(told, ElementsAre(HasSubstr("no.such.host.invalid")));
  }
}

TEST(Reach, WhoIsNotThereYetIsWaitedForAndTold) {
  Listener later(Listener::kNotYet);
  const Launch launch = second_of_two("127.0.0.1", later.port());
  std::vector<std::string> told;
  Wait wait({1h, 20ms, [&](const std::string& sentence) {
               told.push_back(sentence);
               later.listen_now();
             }});
  await_listener(launch, "rank 0", wait);
  EXPECT_THAT(told, ElementsAre("rank 1 of 2 waits for rank 0 at " + place_of(launch) +
                                ", which does not answer: Connection refused"));
  EXPECT_EQ(silence_at(launch), "");
}

TEST(Reach, WhoNeverComesIsNamedOnce) {
  const Listener never(Listener::kNotYet);
  const Launch launch = second_of_two("127.0.0.1", never.port());
  int told = 0;
  Wait wait({200ms, 10ms, [&](const std::string&) { ++told; }});
  const Error error = caught([&] { await_listener(launch, "rank 0", wait); });
  EXPECT_EQ(error.kind(), ErrorKind::kFailure);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("rank 1 of 2 did not reach rank 0 at 127.0.0.1:" +
                                            std::to_string(never.port())),
                                  HasSubstr("Connection refused")));
  EXPECT_EQ(told, 1);
}

TEST(Reach, APortThatIsTakenIsKnown) {
  Listener port(Listener::kNotYet);
  EXPECT_EQ(trouble_to_listen(port.port()), "");
  port.listen_now();
  EXPECT_EQ(trouble_to_listen(port.port()), "Address already in use");
}

}  // namespace
}  // namespace fathom
