// `fathom dag RUN`
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/cli/output_request.h"
#include "fathom/config/command_line.h"
#include "fathom/study/asked/model_choice.h"

namespace fathom::dag {

struct DagRequest {
  ModelChoice model;
  std::string text;
  std::optional<int64_t> token;  // of the text, from 0; unset: the last
  bool all = false;              // all of them, in place of one
  // What the run's texts go on with behind the text, which is asked there: where it is an
  // expression and no token is named. What training knows of a program it knows behind the last
  // operand alone, whose last digit does not say that no other one follows.
  std::string behind;
  OutputRequest output;
  std::vector<std::string> notices;
};

// Nothing: help was printed. Throws Error(kUsage) for a run whose tokens have no programs, and
// where the output is a picture that cannot be drawn.
std::optional<DagRequest> parse_dag(const Arguments& arguments);

}  // namespace fathom::dag
