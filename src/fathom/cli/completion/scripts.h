// The shells' completion scripts, fathom.bash and the like in this folder, as text in the program
// (cmake/verbs.cmake). They know no word themselves: each asks the program at hand what the word
// under the cursor may become, `fathom completion words WORD ...`, and offers files where the
// answer is empty. So they stay right when verbs, keys and presets change.
#pragma once

#include <string>
#include <vector>

namespace fathom {

struct CompletionScript {
  std::string shell, text;
};
std::vector<CompletionScript> completion_scripts();

}  // namespace fathom
