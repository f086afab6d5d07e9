// Signs of life of work whose product goes to standard output: on standard error one line that is
// written over, "evaluate 35 %", and where that cannot be (a log, a pipe) the same as a plain line,
// once a minute.
//
//   StageLine progress;
//   for (...) progress.show("evaluate", i, n);
//   progress.clear();
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "fathom/track/progress.h"

namespace fathom {

struct StageLineOptions {
  bool live = false;                                 // one line that is written over
  std::function<void(std::string_view)> write = {};  // takes whole pieces of output, flushes them
  std::function<int()> width = {};                   // of the terminal; default: 80
  Clock clock = {};                                  // default: steady_clock()

  static StageLineOptions for_stream(std::FILE* file);  // which must outlive the StageLine
};

// Belongs to one thread. Nothing is thrown for a console that fails.
class StageLine {
 public:
  explicit StageLine(StageLineOptions options = StageLineOptions::for_stream(stderr));
  ~StageLine() { clear(); }  // so that an error message begins on a line of its own
  StageLine(const StageLine&) = delete;
  StageLine& operator=(const StageLine&) = delete;

  // `total` 0: unknown, and `done` are bytes. May be called often.
  void show(const std::string& stage, uint64_t done, uint64_t total);
  // Makes room for another line, or for the product.
  void clear();

 private:
  StageLineOptions options_;
  std::string shown_;  // of the live line; empty: there is none
  double last_ = 0;    // when something was written, or the work began
};

}  // namespace fathom
