// `fathom`: the program that users type. Torch-free, so that whatever needs no tensors answers at
// once; for the rest it sets the environment that the engine's libraries read when they are loaded,
// and becomes the engine.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/cli/verbs.h"
#include "fathom/io/files.h"
#include "fathom/machine/engine_program.h"
#include "fathom/parallel/local_ranks.h"
#include "fathom/track/guarded.h"

namespace fathom {
namespace {

int become_engines(const Engines& engines, int argc, char** argv) {
  const std::string engine = engine_path();
  require_address_space();
  std::vector<char*> arguments(argv, argv + argc);
  arguments.push_back(nullptr);
  if (engines.forget_threads) unsetenv("OMP_NUM_THREADS");
  set_thread_environment(engines.sharing);
  hand_over_streams();
  std::fflush(nullptr);
  if (engines.here > 1) {
    const Launch around = launch_of(process_environment());
    return run_local_ranks(engine, {argv, argv + argc}, engines.here, around);
  }
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
  // `fathom --help=train` is `fathom train --help`; the keys are the verbs'.
  constexpr char kHelpOf[] = "--help=";
  if (name.rfind(kHelpOf, 0) == 0) {
    std::string verb = name.substr(std::strlen(kHelpOf)), help = "--help";
    if (verb == "all") {
      fmt::print("{}", overview());
      return 0;
    }
    return run(3, std::vector<char*>{argv[0], verb.data(), help.data()}.data());
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
    const Engines engines = verb.check(arguments);
    return engines.here == 0 ? 0 : become_engines(engines, argc, argv);
  }
  // As the scripts of other programs are called.
  for (const auto& [other, here] :
       {std::pair{"sample", "generate"}, {"finetune", "train"}, {"ls", "runs"}, {"test", "eval"}})
    if (name == other)
      misuse(fmt::format("unknown verb {}", in_quotes(name)),
             fmt::format("`fathom {}` is what does that here", here));
  misuse(fmt::format("unknown verb {}", in_quotes(name)), suggestion(name, names, "fathom --help"));
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  return fathom::guarded(fathom::run, argc, argv);
}
