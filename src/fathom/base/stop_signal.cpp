#include "fathom/base/stop_signal.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <utility>
#include <vector>

namespace fathom {
namespace {

std::vector<int> caught_signals() {
  std::vector<int> signals = {SIGINT,  SIGTERM, SIGQUIT,   SIGHUP,  SIGUSR1, SIGUSR2,  SIGALRM,
                              SIGXCPU, SIGPROF, SIGVTALRM, SIGPOLL, SIGPWR,  SIGSTKFLT};
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) signals.push_back(signal);
  return signals;
}

// What the process was told to ignore. The loader calls what stands in .preinit_array before the
// constructors of any library.
bool g_ignored_at_start[65] = {};

__attribute__((no_sanitize("address", "undefined", "thread"))) void note_ignored(
    int /*argc*/, char** /*argv*/, char** /*environment*/) {
  for (int signal = 1; signal < 65; ++signal) {
    struct sigaction action;
    g_ignored_at_start[signal] =
        sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
  }
}

__attribute__((section(".preinit_array"), used)) void (*g_note_ignored)(int, char**,
                                                                        char**) = note_ignored;

std::vector<std::pair<int, struct sigaction>> g_old_actions;
// A signal may come in any thread.
std::atomic<int> g_received{0};
std::atomic<int64_t> g_asked{0};  // when, by INT, TERM and QUIT; 0: not yet
std::atomic<int64_t> g_echo{0};   // how long a second one is the same
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free);

int64_t nanoseconds() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

extern "C" void remember(int signal) {
  const bool asks = signal == SIGINT || signal == SIGTERM || signal == SIGQUIT;
  if (asks) {
    const int64_t now = nanoseconds();
    int64_t first = 0;
    if (!g_asked.compare_exchange_strong(first, now) && now - first >= g_echo) _exit(128 + signal);
  }
  int none = 0;
  g_received.compare_exchange_strong(none, signal);
}

void set_handler(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

// A limit on processor time whose warning comes with the end of it (`ulimit -t`) is of no use: the
// process then asks to be warned earlier.
void ask_for_a_warning() {
  rlimit limit;
  if (getrlimit(RLIMIT_CPU, &limit) != 0 || limit.rlim_max == RLIM_INFINITY) return;
  const rlim_t margin = std::min<rlim_t>(10, std::max<rlim_t>(1, limit.rlim_max / 10));
  if (limit.rlim_max <= margin || limit.rlim_cur <= limit.rlim_max - margin) return;
  limit.rlim_cur = limit.rlim_max - margin;
  setrlimit(RLIMIT_CPU, &limit);
}

}  // namespace

StopSignal::StopSignal(std::chrono::nanoseconds echo) {
  g_received = 0;
  g_asked = 0;
  g_echo = echo.count();
  struct sigaction action = {};
  action.sa_handler = remember;
  sigemptyset(&action.sa_mask);
  // A write to a terminal or a file goes on after the handler.
  action.sa_flags = SA_RESTART;
  g_old_actions.clear();
  for (const int signal : caught_signals()) {
    struct sigaction old = {};
    if (sigaction(signal, nullptr, &old) != 0 || old.sa_handler == SIG_IGN) continue;
    g_old_actions.emplace_back(signal, old);
    sigaction(signal, &action, nullptr);
  }
  ignore_broken_pipes();
  ignore_file_size_signals();
  ask_for_a_warning();
}

StopSignal::~StopSignal() {
  for (const auto& [signal, old] : g_old_actions) sigaction(signal, &old, nullptr);
  g_old_actions.clear();
  g_received = 0;
  g_asked = 0;
}

int StopSignal::received() {
  return g_received;
}

void undo_signals_of_libraries() {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2})
    set_handler(signal, g_ignored_at_start[signal] ? SIG_IGN : SIG_DFL);
}

void ignore_broken_pipes() {
  set_handler(SIGPIPE, SIG_IGN);
}

void ignore_file_size_signals() {
  set_handler(SIGXFSZ, SIG_IGN);
}

}  // namespace fathom
