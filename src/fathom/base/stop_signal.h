// The signals that end a process, as a question that long work asks between its steps.
#pragma once

#include <chrono>

namespace fathom {

// While it lives, every signal whose default ends the process and that is no fault of the program
// is remembered instead: INT, TERM, QUIT and HUP, but also those by which schedulers and limits
// announce an end (USR1, USR2, XCPU, ALRM, PWR, the real-time ones, ...). Work then saves and
// leaves within a step.
//
// A second INT, TERM or QUIT ends the process at once with 128 + its number; only these three are
// counted, for the others come in twos (a closing terminal hangs up twice, XCPU returns every
// second, a scheduler sends TERM after USR1). A signal that the process was told to ignore (nohup)
// stays ignored. One object at a time; the old handlers return with its end.
class StopSignal {
 public:
  // Of a second one within `echo` of the first nothing is made: where a launcher passes on what it
  // gets, what a terminal or a scheduler sends to all comes twice, and was asked once.
  explicit StopSignal(std::chrono::nanoseconds echo = {});
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // The first signal that came, or 0.
  static int received();
};

// Libraries put handlers of their own on signals while they are loaded (libtorch of Debian 13 links
// one that takes HUP, whatever nohup said). From now on HUP, INT, QUIT, TERM, USR1 and USR2 end
// this process or are ignored by it as it was told when it was started; the timers' signals stay a
// preloaded profiler's. Of use in a program's main, once.
void undo_signals_of_libraries();

// From now on a write to a pipe whose reader has gone, or beyond the limit on file sizes, fails
// with EPIPE or EFBIG where it would have ended the process. StopSignal does the first too, for
// work must not die of whoever read its progress.
void ignore_broken_pipes();
void ignore_file_size_signals();

}  // namespace fathom
