// `fathom-engine` as seen from `fathom`: where it is, the environment it needs, and asking it
// something as a child process.
#pragma once

#include <string>
#include <vector>

namespace fathom {

std::string engine_path();  // beside this program, whether there is one or not

// For the libraries that read their settings when they are loaded: as many OpenMP threads as
// choose_threads() finds (base/processors.h), and threads that soon sleep while they wait, for on a
// shared core spinning ones cost a factor of ten. What the user has set stays where it means
// something.
void set_thread_environment();

struct ProgramOutcome {
  std::string problem;  // why it could not be started or be waited for; empty: it ended by itself
  int exit_code = 0;
  int signal = 0;  // that ended it; 0: none
  std::string out, err;
};

// Runs `program` with the present environment and an empty standard input. Never throws: a program
// that is missing or takes longer than `seconds` (it is killed then) is a `problem`.
ProgramOutcome run_program(const std::string& program, const std::vector<std::string>& words,
                           int seconds);

}  // namespace fathom
