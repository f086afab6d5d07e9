// A port of this machine, and a program there that is no fathom.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

namespace fathom::testing {

class Listener {
 public:
  // What becomes of a connection at which something has come, by its number from 0; the descriptor
  // is closed after it. Those that are closed without a word are not counted.
  using Serve = std::function<void(Listener& listener, int connection, int number)>;
  enum Begin { kNotYet };

  // The port is had, so that nobody else gets it, and refuses.
  explicit Listener(Begin /*begin*/) : socket_(bound()) { port_ = port_of(socket_); }
  explicit Listener(Serve serve) : Listener(kNotYet) {
    serve_ = std::move(serve);
    listen_now();
    thread_ = std::thread([this] { run(); });
  }
  ~Listener() {
    ends_ = true;
    if (thread_.joinable()) thread_.join();
    close(socket_);
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int port() const { return port_; }
  void listen_now() { EXPECT_EQ(listen(socket_, 16), 0); }
  // Connections are refused from now on.
  void stop_listening() { EXPECT_EQ(shutdown(socket_, SHUT_RDWR), 0); }
  // The object is to go: whoever serves is to return.
  bool ends() const { return ends_; }
  int served() const { return number_; }
  int accepted() const { return accepted_; }  // those without a word among them

  // Passes on what comes and goes to another port of this machine, until one of them ends it.
  void forward(int connection, int port) const {
    const int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(port);
    bool goes_on = connect(other, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    std::array<char, 4096> bytes = {};
    while (goes_on && !ends_) {
      pollfd both[] = {{connection, POLLIN, 0}, {other, POLLIN, 0}};
      if (poll(both, 2, 20) <= 0) continue;
      for (const auto& [from, to] : {std::pair{0, 1}, {1, 0}}) {
        if (both[from].revents == 0) continue;
        const ssize_t n = recv(both[from].fd, bytes.data(), bytes.size(), 0);
        goes_on = goes_on && n > 0 &&
                  send(both[to].fd, bytes.data(), static_cast<size_t>(n), MSG_NOSIGNAL) == n;
      }
    }
    close(other);
  }

 private:
  static sockaddr_in loopback(int port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    return address;
  }
  static int bound() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
    sockaddr_in address = loopback(0);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  static int port_of(int fd) {
    sockaddr_in address = {};
    socklen_t size = sizeof address;
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
    return ntohs(address.sin_port);
  }
  bool is_ready(int fd) const {
    pollfd waiting = {fd, POLLIN, 0};
    while (!ends_)
      if (poll(&waiting, 1, 20) > 0) return true;
    return false;
  }
  void run() {
    std::vector<std::thread> open;
    while (is_ready(socket_)) {
      const int connection = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        continue;
      }
      ++accepted_;
      open.emplace_back([this, connection] {
        char first = 0;
        // Who only looks closes it.
        if (is_ready(connection) && recv(connection, &first, 1, MSG_PEEK) == 1)
          serve_(*this, connection, number_++);
        close(connection);
      });
    }
    for (std::thread& thread : open) thread.join();
  }

  int socket_, port_ = 0;
  Serve serve_;
  std::atomic<int> number_ = 0, accepted_ = 0;
  std::atomic<bool> ends_ = false;
  std::thread thread_;
};

}  // namespace fathom::testing
