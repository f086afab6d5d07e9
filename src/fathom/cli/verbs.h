// The verbs of `fathom`: a folder `cli/<verb>/` each, or one of an experiment's `verbs/`, found by
// CMake (cmake/verbs.cmake). Those that need no tensors run in `fathom` itself; for the others it
// checks the request, so that every mistake is told at once, and hands over to `fathom-engine`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fathom/config/command_line.h"

namespace fathom {

// What becomes of a request that was checked.
struct Engines {
  Engines(bool goes_on) : here(goes_on ? 1 : 0) {}  // NOLINT(google-explicit-constructor)
  explicit Engines(int n) : here(n), sharing(n) {}

  int here;         // this process becomes so many of them; 0: nothing is left to do
  int sharing = 1;  // so many have the processors that this process may use
  // Threads that a launcher sets for each where nobody asked for any are no choice of the user's.
  bool forget_threads = false;
};

// What `verb_<folder>()` of a folder's verb.cpp says.
struct Verb {
  std::string name, summary;
  int place = 0;  // in the overview, small ones first
  // Runs the verb, or for an engine's verb checks its request (false: nothing is left to do, for
  // help was printed).
  int (*run)(const Arguments&) = nullptr;
  std::function<Engines(const Arguments&)> check = nullptr;
};

const std::vector<Verb>& verbs();  // by place, then by name
std::string overview();            // what `fathom` and `fathom --help` print

}  // namespace fathom
