#include "fathom/base/stop_signal.h"

#include <unistd.h>

#include <csignal>
#include <iterator>

namespace fathom {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
struct sigaction g_old_actions[std::size(kSignals)];
volatile std::sig_atomic_t g_received = 0;

extern "C" void remember(int signal) {
  if (g_received != 0 && signal != SIGHUP) _exit(128 + signal);
  if (g_received == 0) g_received = signal;
}

}  // namespace

StopSignal::StopSignal() {
  g_received = 0;
  struct sigaction action = {};
  action.sa_handler = remember;
  sigemptyset(&action.sa_mask);
  // A write to a terminal or a file goes on after the handler.
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < std::size(kSignals); ++i) {
    sigaction(kSignals[i], nullptr, &g_old_actions[i]);
    if (g_old_actions[i].sa_handler != SIG_IGN) sigaction(kSignals[i], &action, nullptr);
  }
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

StopSignal::~StopSignal() {
  for (size_t i = 0; i < std::size(kSignals); ++i)
    sigaction(kSignals[i], &g_old_actions[i], nullptr);
  g_received = 0;
}

int StopSignal::received() {
  return g_received;
}

}  // namespace fathom
