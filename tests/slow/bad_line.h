// Two hosts as far as the network goes, and a line between them that delays and loses packets: two
// network namespaces, each with an interface whose packets a process here carries to the other one.
// (`tc netem` does the same where the kernel has it; not all have.)
#pragma once

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace fathom::testing {

class BadLine {
 public:
  BadLine(std::chrono::milliseconds delay, double loss) {
    for (int i = 0; i < 2; ++i)
      if (!shell("ip netns add " + host(i))) return;
    int ready[2];
    if (pipe(ready) != 0) return;
    line_ = fork();
    if (line_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      carry(delay, loss, ready[1]);
    }
    close(ready[1]);
    char word = 0;
    const bool has_ends = read(ready[0], &word, 1) == 1;
    close(ready[0]);
    is_there_ = has_ends;
    for (int i = 0; i < 2 && is_there_; ++i) {
      const std::string in = "ip -n " + host(i);
      is_there_ = shell(in + " link set lo up") &&
                  shell(in + " addr add " + address(i) + "/24 dev line0") &&
                  shell(in + " link set line0 up");
    }
  }
  ~BadLine() {
    if (line_ > 0) kill(line_, SIGKILL), waitpid(line_, nullptr, 0);
    for (int i = 0; i < 2; ++i) shell("ip netns del " + host(i));
  }
  BadLine(const BadLine&) = delete;
  BadLine& operator=(const BadLine&) = delete;

  // False: only root may have such hosts, with iproute2 and a kernel that has /dev/net/tun.
  bool is_there() const { return is_there_; }
  static std::string address(int i) { return "10.77.0." + std::to_string(i + 1); }
  // The calling process is on that host from now on.
  static bool move_to(int i) {
    const int space = open(("/run/netns/" + host(i, getppid())).c_str(), O_RDONLY | O_CLOEXEC);
    return space >= 0 && setns(space, CLONE_NEWNET) == 0;
  }
  // From now on nothing comes through, and nobody is told.
  void cut() const { kill(line_, SIGSTOP); }

 private:
  static bool shell(const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
  }
  static std::string host(int i, pid_t of = getpid()) {
    return "fathom-" + std::to_string(of) + (i == 0 ? "-a" : "-b");
  }

  [[noreturn]] static void carry(std::chrono::milliseconds delay, double loss, int ready) {
    int ends[2];
    for (int i = 0; i < 2; ++i) {
      if (!move_to(i)) _exit(1);
      ends[i] = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
      ifreq interface = {};
      interface.ifr_flags = IFF_TUN | IFF_NO_PI;
      std::strcpy(interface.ifr_name, "line0");
      if (ends[i] < 0 || ioctl(ends[i], TUNSETIFF, &interface) != 0) _exit(1);
    }
    if (write(ready, "r", 1) != 1) _exit(1);
    close(ready);
    using Clock = std::chrono::steady_clock;
    struct Packet {
      Clock::time_point due;
      std::vector<char> bytes;
    };
    std::deque<Packet> under_way[2];
    std::mt19937 generator(29);
    std::uniform_real_distribution<double> chance;
    std::vector<char> bytes(1 << 16);
    for (;;) {
      pollfd waiting[] = {{ends[0], POLLIN, 0}, {ends[1], POLLIN, 0}};
      poll(waiting, 2, under_way[0].empty() && under_way[1].empty() ? 1000 : 1);
      for (int i = 0; i < 2; ++i) {
        for (ssize_t got; (got = read(ends[i], bytes.data(), bytes.size())) > 0;)
          if (chance(generator) >= loss)
            under_way[i].push_back({Clock::now() + delay, {bytes.data(), bytes.data() + got}});
        for (auto& packets = under_way[i]; !packets.empty() && packets.front().due <= Clock::now();
             packets.pop_front())
          if (write(ends[1 - i], packets.front().bytes.data(), packets.front().bytes.size()) < 0) {
          }  // as a line does that is full
      }
    }
  }

  pid_t line_ = -1;
  bool is_there_ = false;
};

}  // namespace fathom::testing
