// Preloaded, it stands in for a library that takes the hangup signal while it is loaded, as
// libtorch's dependency libpsm2 does on Debian 13. Of the engine alone: `fathom`, which starts it,
// has none.
#include <unistd.h>

#include <csignal>
#include <string_view>

extern "C" {
static void end_at_once(int) {
  _exit(99);
}

__attribute__((constructor)) static void take() {
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  constexpr std::string_view kEngine = "/fathom-engine";
  const std::string_view program(path, size > 0 ? static_cast<size_t>(size) : 0);
  if (program.size() > kEngine.size() && program.substr(program.size() - kEngine.size()) == kEngine)
    signal(SIGHUP, end_at_once);
}
}
