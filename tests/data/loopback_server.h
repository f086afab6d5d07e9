// A web server for download tests: one thread, one answer for each connection, canned or made of
// the request.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace fathom::testing {

class LoopbackServer {
 public:
  // `answer` is sent as it is; with `stall`, the connection then stays open without another byte.
  explicit LoopbackServer(std::string answer, bool stall = false)
      : LoopbackServer([answer = std::move(answer)](const std::string&) { return answer; }, stall) {
  }
  using Answer = std::function<std::string(const std::string& request)>;
  explicit LoopbackServer(Answer answer, bool stall = false)
      : answer_(std::move(answer)), stall_(stall) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), length);
    ::listen(listener_, 8);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~LoopbackServer() {
    ::shutdown(listener_, SHUT_RDWR);  // ends accept()
    thread_.join();
    ::close(listener_);
  }
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  std::string url(const std::string& file = "input.txt") const {
    return "http://127.0.0.1:" + std::to_string(port_) + "/" + file;
  }
  int requests() const { return requests_; }
  // For the next connection.
  void set_answer(std::string answer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    answer_ = [answer = std::move(answer)](const std::string&) { return answer; };
  }

  static std::string ok(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }

 private:
  void serve() {
    for (;;) {
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) return;
      ++requests_;
      char request[4096];
      if (const ssize_t got = ::recv(connection, request, sizeof request, 0); got > 0) {
        const std::string answer = answer_to(std::string(request, static_cast<size_t>(got)));
        for (size_t sent = 0; sent < answer.size();) {
          const ssize_t n =
              ::send(connection, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
          if (n <= 0) break;
          sent += static_cast<size_t>(n);
        }
        if (stall_)
          while (::recv(connection, request, sizeof request, 0) > 0) {
          }
      }
      ::close(connection);
    }
  }

  std::string answer_to(const std::string& request) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return answer_(request);
  }

  std::mutex mutex_;
  Answer answer_;
  bool stall_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> requests_{0};
  std::thread thread_;
};

}  // namespace fathom::testing
