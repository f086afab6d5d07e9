// `fathom bench`: how fast this machine trains and decodes a preset's model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/config/command_line.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

enum class BenchKind {
  kStep,    // training steps
  kDecode,  // tokens one by one, keys and values kept
  kOps,     // the operations of a step, and their plain definitions
};

struct BenchRequest {
  BenchKind kind = BenchKind::kStep;
  RunConfig config;
  int64_t vocab_size = 0;
  int64_t repeats = 30;   // measured, after some that are not
  int64_t sequences = 1;  // decoded side by side
  bool json = false;
  std::vector<std::string> notices;
};

// Nothing: help was printed.
std::optional<BenchRequest> parse_bench(const Arguments& arguments);

}  // namespace fathom
