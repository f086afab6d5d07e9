// The verbs of `fathom`: a folder `cli/<verb>/` each, found by CMake (cmake/verbs.cmake). Those
// that need no tensors run in `fathom` itself; for the others it checks the request, so that every
// mistake is told at once, and hands over to `fathom-engine`.
#pragma once

#include <exception>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/config/command_line.h"

namespace fathom {

// What `verb_<folder>()` of a folder's verb.cpp says.
struct Verb {
  std::string name, summary;
  int place = 0;  // in the overview, small ones first
  // Runs the verb, or for an engine's verb checks its request (false: nothing is left to do, for
  // help was printed).
  int (*run)(const Arguments&) = nullptr;
  bool (*check)(const Arguments&) = nullptr;
};

const std::vector<Verb>& verbs();  // by place, then by name
std::string overview();            // what `fathom` and `fathom --help` print

// Calls `body`; prints an Error as `fathom: ...` with its HINT and turns it into an exit code, and
// so with whatever else is thrown. An exit code of 0 needs an output that could be written, unless
// it is only watched (track/console.h).
int guarded(int (*body)(int, char**), int argc, char** argv);

// Any exception as the Error that is to be printed; a net under the library's own errors.
Error as_error(const std::exception& exception);

}  // namespace fathom
