// `fathom`: the program that users type. Torch-free, so that whatever needs no tensors answers at
// once; for the rest it sets the environment that the engine's libraries read when they are loaded,
// and becomes the engine.
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/cli/verbs.h"

namespace fathom {
namespace {

// libgomp reads these when it is loaded. Processors are counted from the affinity mask; waiting
// threads sleep, for on a shared core spinning ones cost a factor of ten.
void set_thread_environment() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  const int count = sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;
  setenv("OMP_NUM_THREADS", std::to_string(count).c_str(), /*overwrite=*/0);
  setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/0);
}

[[noreturn]] void become_engine(int argc, char** argv) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string engine = (self.parent_path() / "fathom-engine").string();
  std::vector<char*> arguments(argv, argv + argc);
  arguments.push_back(nullptr);
  set_thread_environment();
  std::fflush(nullptr);
  execv(engine.c_str(), arguments.data());
  fail(fmt::format("{} cannot be started: {}", engine, std::strerror(errno)),
       "fathom and fathom-engine belong into the same folder; `cmake --build` makes both");
}

int run(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "--help";
  if (name == "--help" || name == "-h" || name == "help") {
    fmt::print("{}", overview());
    return argc > 1 ? 0 : 2;
  }
  if (name == "--version") {
    fmt::print("fathom {}\n", FATHOM_VERSION);
    return 0;
  }
  const Arguments arguments(argv + 2, argv + argc);
  std::vector<std::string> names;
  for (const Verb& verb : verbs()) {
    names.push_back(verb.name);
    if (verb.name != name) continue;
    if (verb.run != nullptr) return verb.run(arguments);
    if (!verb.check(arguments)) return 0;
    become_engine(argc, argv);
  }
  misuse(fmt::format("unknown verb {}", in_quotes(name)), suggestion(name, names, "fathom --help"));
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  return fathom::guarded(fathom::run, argc, argv);
}
