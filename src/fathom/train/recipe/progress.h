// What was done so far, counted as it happens. Torch-free.
#pragma once

#include <cstdint>

namespace fathom {

// Of a run, or of a stage of it; steps are counted apart.
struct Progress {
  int64_t samples = 0;         // windows, or rows of a file, that were begun
  int64_t samples_before = 0;  // the same, before the last step
  int64_t tokens = 0;          // that models were given
  double seconds = 0;          // in steps; counted only where a stage lasts for some minutes
  // Of the steps that were made; NaN for a run that began before they were counted.
  double flops = 0;
};

// What came after `start`.
inline Progress since(const Progress& start, const Progress& now) {
  return {now.samples - start.samples, now.samples_before - start.samples,
          now.tokens - start.tokens, now.seconds - start.seconds, now.flops - start.flops};
}

}  // namespace fathom
