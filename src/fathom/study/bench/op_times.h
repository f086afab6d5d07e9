// `fathom bench ops`: every operation of a training step, and its plain definition beside it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "fathom/train/recipe/run_config.h"

namespace fathom {

struct OpTimes {
  std::string name;             // "attention"
  double ms = 0, plain_ms = 0;  // forward and backward, medians
};

// Of one micro-batch and one layer of the widest kind, fused and plain in turn.
std::vector<OpTimes> bench_ops(const RunConfig& config, int64_t vocab_size, int64_t repeats);

void print_ops(const std::vector<OpTimes>& ops, bool json, const nlohmann::json& about);

}  // namespace fathom
