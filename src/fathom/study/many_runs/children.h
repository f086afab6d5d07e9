// Runs of a sweep as child processes.
#pragma once

#include <sys/types.h>
#include <string>
#include <vector>

namespace fathom {

// `fathom train WORDS` in a process group of its own, so that a terminal's signals reach it once,
// by pass_on(), with an empty standard input. It is asked to end (TERM) when this process is gone.
// Throws Error where it cannot be started.
pid_t start_training(const std::vector<std::string>& words);

struct ChildEnd {
  pid_t child = -1;  // -1: none has ended
  int exit_code = 0;
  int signal = 0;  // that ended it; 0: none
};
// One of the children that has ended by now.
ChildEnd ended_child();
void pass_on(int signal, pid_t child);

}  // namespace fathom
