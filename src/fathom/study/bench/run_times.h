// How fast this machine trains and decodes, beside what its processor and memory give in the very
// same minute.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "fathom/train/recipe/run_config.h"

namespace fathom {

struct BenchJob {
  RunConfig config;
  int64_t vocab_size = 0;
  int64_t repeats = 30;   // measured, after some that are not
  int64_t sequences = 1;  // decoded side by side
};

// What was measured, and with what.
nlohmann::json about(const BenchJob& job, int threads);
// Training steps on random tokens: about(), times in ms, tokens_per_s, gflop_per_s (the median of
// the steps', whose work may differ), the share of the best product's. Throws Error where no corpus
// can be written.
nlohmann::json bench_step(const BenchJob& job, int threads);
// Tokens one by one; half of the window is there before, the other half is what is measured.
nlohmann::json bench_decode(const BenchJob& job, int threads);

}  // namespace fathom
