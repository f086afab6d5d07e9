// Another program as a child process.
#pragma once

#include <string>
#include <vector>

namespace fathom {

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

// Where the shell would find `name`: the first of the folders of PATH that has such a program.
// Empty: none has.
std::string find_program(const std::string& name);

}  // namespace fathom
