#include "fathom/parallel/launch_reach.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

using std::chrono::milliseconds;

constexpr int kAnswer = 3000;  // milliseconds that a machine gets to answer

class Socket {
 public:
  Socket(int family, int type) : fd_(socket(family, type | SOCK_CLOEXEC, 0)) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

using Addresses = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

[[noreturn]] void refuse_way(const Launch& launch, const std::string& why) {
  fail(fmt::format("rank 0's machine, {}, cannot be reached from rank {}: {}",
                   escaped(launch.address), launch.rank, why),
       "MASTER_ADDR is the name or address of rank 0's machine, as every other one knows it");
}

// None, and why, where the name is not known, which it may be later: a container's is when it runs.
std::pair<Addresses, std::string> addresses_of(const Launch& launch, int type) {
  addrinfo wanted = {};
  wanted.ai_socktype = type;
  addrinfo* found = nullptr;
  const int trouble =
      getaddrinfo(launch.address.c_str(), std::to_string(launch.port).c_str(), &wanted, &found);
  if (trouble != 0) found = nullptr;
  return {Addresses(found,
                    [](addrinfo* a) {
                      if (a != nullptr) freeaddrinfo(a);
                    }),
          trouble == 0 ? "" : gai_strerror(trouble)};
}

// 0, or the errno value of what came of it.
int connection_to(const addrinfo& address) {
  const Socket socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK);
  if (socket.fd() < 0) return errno;
  if (connect(socket.fd(), address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd waiting = {socket.fd(), POLLOUT, 0};
  const int ready = poll(&waiting, 1, kAnswer);
  if (ready < 0) return errno;
  if (ready == 0) return ETIMEDOUT;
  int error = 0;
  socklen_t length = sizeof error;
  return getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

}  // namespace

bool Wait::moment(const std::function<std::string()>& what, milliseconds longest) {
  const auto waited = Clock::now() - begin_;
  if (!is_told_ && waited >= options_.silence && options_.note) {
    is_told_ = true;
    if (const std::string sentence = what(); !sentence.empty()) options_.note(sentence);
  }
  if (waited >= options_.patience) return false;
  std::this_thread::sleep_for(std::min({pause_, longest, left()}));
  pause_ = std::min(pause_ + pause_ / 4 + milliseconds(1), longest);
  return true;
}

milliseconds Wait::left() const {
  const auto waited = std::chrono::duration_cast<milliseconds>(Clock::now() - begin_);
  return std::max(options_.patience - waited, milliseconds(1));
}

std::string place_of(const Launch& launch) {
  return fmt::format("{}:{}", escaped(launch.address), launch.port);
}

std::string own_address(const Launch& launch) {
  if (launch.is_local()) return "127.0.0.1";
  auto [all, why] = addresses_of(launch, SOCK_DGRAM);
  for (const addrinfo* a = all.get(); a != nullptr; a = a->ai_next) {
    // Nothing is sent: the system only chooses the way, and with it the address.
    const Socket socket(a->ai_family, SOCK_DGRAM);
    sockaddr_storage own = {};
    socklen_t length = sizeof own;
    std::array<char, NI_MAXHOST> name = {};
    if (socket.fd() >= 0 && connect(socket.fd(), a->ai_addr, a->ai_addrlen) == 0 &&
        getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
        getnameinfo(reinterpret_cast<sockaddr*>(&own), length, name.data(), name.size(), nullptr, 0,
                    NI_NUMERICHOST) == 0)
      return name.data();
    why = std::strerror(errno);
  }
  refuse_way(launch, why);
}

std::string own_address(const Launch& launch, Wait& wait) {
  while (true) {
    try {
      return own_address(launch);
    } catch (const Error& error) {
      const std::string why = error.what();
      if (!wait.moment([&] { return why; })) throw;
    }
  }
}

std::string silence_at(const Launch& launch) {
  auto [all, why] = addresses_of(launch, SOCK_STREAM);
  for (const addrinfo* a = all.get(); a != nullptr; a = a->ai_next) {
    const int error = connection_to(*a);
    if (error == 0) return "";
    why = std::strerror(error);
  }
  return why;
}

void await_listener(const Launch& launch, const std::string& who, Wait& wait) {
  std::string why;
  while (!(why = silence_at(launch)).empty()) {
    const auto what = [&] {
      return fmt::format("rank {} of {} waits for {} at {}, which does not answer: {}", launch.rank,
                         launch.size, who, place_of(launch), why);
    };
    if (!wait.moment(what))
      fail(
          fmt::format("rank {} of {} did not reach {} at {}: {}", launch.rank, launch.size, who,
                      place_of(launch), why),
          "MASTER_ADDR and MASTER_PORT say where rank 0 is met: it has to be started there, and no "
          "firewall may be between");
  }
}

std::string trouble_to_listen(int port) {
  const Socket socket(AF_INET, SOCK_STREAM);
  const int yes = 1;
  sockaddr_in any = {};
  any.sin_family = AF_INET;
  any.sin_port = htons(static_cast<uint16_t>(port));
  const bool can = socket.fd() >= 0 &&
                   setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
                   bind(socket.fd(), reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0;
  return can ? "" : std::strerror(errno);
}

}  // namespace fathom
