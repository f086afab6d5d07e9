// `fathom-engine`: carries out the verbs that need tensors. Started by `fathom`.
#include <c10/util/Exception.h>
#include <malloc.h>

#include "fathom/base/error.h"
#include "fathom/base/stop_signal.h"
#include "fathom/base/text.h"
#include "fathom/cli/engine/engine_verbs.h"
#include "fathom/cli/verbs.h"
#include "fathom/kernels/isa.h"
#include "fathom/track/guarded.h"

namespace fathom {
namespace {

// Activations are allocated and freed every step: kept by the process they are reused, handed back
// to the system they would be mapped and zeroed anew each time.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2000000000);
  mallopt(M_TOP_PAD, 64 << 20);
}

int run_verb(int argc, char** argv) {
  if (argc < 2) misuse("fathom-engine is started by fathom", "type `fathom --help`");
  chosen_isa();  // throws for a setting of the environment that is wrong
  const std::string verb = argv[1];
  const Arguments arguments(argv + 2, argv + argc);
  for (const EngineVerb& known : engine_verbs())
    if (known.name == verb) return known.run(arguments);
  misuse("fathom-engine does not know the verb " + verb, "type `fathom --help`");
}

// ": it wanted 134,217,728 bytes more", of "... you tried to allocate 134217728 bytes ...".
std::string wanted_bytes(const std::string& message) {
  constexpr std::string_view kBefore = "tried to allocate ";
  const size_t at = message.find(kBefore);
  if (at == std::string::npos) return "";
  const size_t first = at + kBefore.size();
  const size_t end = message.find_first_not_of("0123456789", first);
  if (end == first || end - first > 18 || message.compare(end, 6, " bytes") != 0) return "";
  return ": it wanted " + with_commas(std::stoll(message.substr(first))) + " bytes more";
}

// libtorch's own errors carry a stack trace; people get the sentence.
int run(int argc, char** argv) {
  try {
    return run_verb(argc, argv);
  } catch (const c10::Error& e) {
    const std::string message = e.what_without_backtrace();
    if (message.find("memory") != std::string::npos)
      fail("there is not enough memory" + wanted_bytes(message),
           "a smaller batch_size, mini_batch_size or block_size needs less");
    fail("the tensor library refused an operation: " + message, "this is a fault of fathom's");
  }
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  fathom::undo_signals_of_libraries();
  fathom::keep_freed_memory();
  return fathom::guarded(fathom::run, argc, argv);
}
