// Ranks on this machine, started and watched by this process (--nproc), for those who have no
// launcher.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "fathom/parallel/launch.h"

namespace fathom {

struct LocalRanksTimes {
  std::chrono::milliseconds stopped{12000};  // after which a stopped rank is taken for lost
  std::chrono::milliseconds ending{12000};   // that the others get to end when one has failed
  // The same when one was asked to end before it could train.
  std::chrono::milliseconds unbegun{1000};
};

// Starts `program` with `words` (its own name the first) `size` times, each with the variables by
// which launch_of() knows its rank, and returns when all have ended: 0, or the exit code of the
// first that failed (128 and the signal, if one ended it). To be called before other threads are
// there.
//
// A signal that asks to end is passed on once to each of them, and then all may take the time to
// save; a second INT, TERM or QUIT ends them at once, and so does the first where one of them has
// not begun to train, also where it came to that one alone. One that fails otherwise ends the
// others, who are told which it was; so does one that is stopped and stays so. They end with this
// process, whatever ends it, and leave no file. Standard input is nobody's but rank 0's. No port is
// opened.
//
// Throws Error where they cannot be started.
//
// `around`: what this process is to a launcher of its own. Its echoes (echo_of()) are no second
// signals, and where it would leave this process alone, its end is a TERM.
int run_local_ranks(const std::string& program, const std::vector<std::string>& words, int size,
                    const Launch& around, LocalRanksTimes times = {});

}  // namespace fathom
