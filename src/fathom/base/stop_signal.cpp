#include "fathom/base/stop_signal.h"

#include <unistd.h>
#include <csignal>

namespace fathom {
namespace {

volatile std::sig_atomic_t g_received = 0;
struct sigaction g_old_interrupt, g_old_terminate;

extern "C" void remember(int signal) {
  if (g_received != 0) _exit(128 + signal);
  g_received = signal;
}

}  // namespace

StopSignal::StopSignal() {
  g_received = 0;
  struct sigaction action = {};
  action.sa_handler = remember;
  sigemptyset(&action.sa_mask);
  // A write to a terminal or a file goes on after the handler.
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &g_old_interrupt);
  sigaction(SIGTERM, &action, &g_old_terminate);
}

StopSignal::~StopSignal() {
  sigaction(SIGINT, &g_old_interrupt, nullptr);
  sigaction(SIGTERM, &g_old_terminate, nullptr);
  g_received = 0;
}

int StopSignal::received() {
  return g_received;
}

}  // namespace fathom
