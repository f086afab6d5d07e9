// Ranks as threads of one process, which meet over the loopback interface.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fathom/base/stop_signal.h"
#include "fathom/model/device.h"
#include "fathom/parallel/ranks.h"

namespace fathom::testing {

// One that nobody listens at now.
inline int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

// What each of them threw, by rank; empty: nothing. A write to one that was lost ends nobody, as
// in the engine.
inline std::vector<std::string> on_each(int size, const std::function<void(int rank)>& call) {
  ignore_broken_pipes();
  std::vector<std::string> errors(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      try {
        call(rank);
      } catch (const std::exception& e) {
        errors[static_cast<size_t>(rank)] = e.what();
      }
    });
  for (std::thread& thread : threads) thread.join();
  return errors;
}

// The same of ranks. One thread each: two would wait for one another.
inline std::vector<std::string> on_ranks(
    int size, const std::function<void(const std::shared_ptr<Ranks>&)>& call,
    const RanksOptions& options = RanksOptions()) {
  Launch launch;
  launch.size = launch.local_size = size;
  launch.address = "127.0.0.1";
  launch.port = size > 1 ? free_port() : 0;
  return on_each(size, [&](int rank) {
    Launch own = launch;
    own.rank = own.local_rank = rank;
    set_threads(1);
    call(std::make_shared<Ranks>(own, options));
  });
}

inline void expect_no_errors(const std::vector<std::string>& errors) {
  for (size_t r = 0; r < errors.size(); ++r) EXPECT_EQ(errors[r], "") << "rank " << r;
}

}  // namespace fathom::testing
