// SIGINT, SIGTERM and SIGHUP as a question that long work asks between its steps.
#pragma once

namespace fathom {

// While it lives, the first of these signals is remembered, and a second one ends the process at
// once with 128 + its number; but not a second SIGHUP, which a closing terminal sends twice. One
// that the process was told to ignore (nohup) stays ignored. One object at a time; the old handlers
// return with its end. But from now on the process ignores SIGPIPE: work must not die of whoever
// read its progress, and what is left to be said at the end goes the same way.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // The signal that came, or 0.
  static int received();
};

}  // namespace fathom
