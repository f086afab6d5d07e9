// `fathom bench`: how fast this machine trains and decodes a preset's model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/config/command_line.h"
#include "fathom/study/bench/run_times.h"

namespace fathom {

enum class BenchKind {
  kStep,    // training steps
  kDecode,  // tokens one by one, keys and values kept
  kOps,     // the operations of a step, and their plain definitions
};

struct BenchRequest : BenchJob {
  BenchKind kind = BenchKind::kStep;
  bool json = false;
  std::vector<std::string> notices;
};

// Nothing: help was printed.
std::optional<BenchRequest> parse_bench(const Arguments& arguments);

}  // namespace fathom
