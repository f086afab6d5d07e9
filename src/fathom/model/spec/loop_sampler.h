// How often a loop runs in a training pass: a distribution over counts. Torch-free.
#pragma once

#include <cstdint>

#include "fathom/base/random.h"

namespace fathom {

enum class LoopSampling {
  kFixed,       // no draw
  kUniform,     // 1 .. max_loops, each alike
  kLogPoisson,  // 1 + Poisson(e^t), t ~ N(ln rbar - sigma^2 / 2, sigma^2) (Geiping et al. 2025)
};

// No count is above it, whatever was drawn.
inline constexpr int64_t kMostLoops = 4096;

struct LoopSampler {
  LoopSampling strategy = LoopSampling::kFixed;
  int64_t max_loops = 1;  // of kUniform; of kFixed the count
  // Of kLogPoisson, which has the mean rbar + 1 and the variance rbar + rbar^2 (e^(sigma^2) - 1).
  double rbar = 1, sigma = 0.5;
  int64_t clamp = 0;  // a larger draw is this; 0: none is

  bool draws() const { return strategy != LoopSampling::kFixed; }
  // At least 1, whatever the numbers are.
  int64_t draw(const RandomStream& numbers) const;
  double mean() const;
  // That hardly any draw exceeds (1 in 1,000), and none of a strategy that has a largest one.
  int64_t largest() const;
};

}  // namespace fathom
