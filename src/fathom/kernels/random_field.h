// Random numbers addressed by where they are used, written in bulk. No torch.
#pragma once

#include <cstdint>

#include "fathom/base/span.h"

namespace fathom {

// Dropout multipliers: out[i] = 0 with probability p, else 1 / (1 - p). Element i takes draw number
// `first + i` of the stream (seed, stream), so any part of a field can be written alone.
void fill_dropout(Span<float> out, double p, uint64_t seed, uint64_t stream, uint64_t first);

}  // namespace fathom
