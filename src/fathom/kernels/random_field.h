// Random numbers addressed by where they are used, written in bulk. No torch.
#pragma once

#include <cstdint>

#include "fathom/base/span.h"

namespace fathom {

// Dropout multipliers: out[i] = 0 with probability p, 0 <= p < 1, else 1 / (1 - p). Element i takes
// draw number `first + i` of the stream (seed, stream), so any part of a field can be written
// alone.
void fill_dropout(Span<float> out, double p, uint64_t seed, uint64_t stream, uint64_t first);

// Of the rows of a matrix: element (i, c) takes draw number firsts[i] + c of (seed, streams[i]).
struct RowDraws {
  double p = 0;
  uint64_t seed = 0;
  const uint64_t *streams = nullptr, *firsts = nullptr;  // (rows)
};

// y (rows, columns) = x times their multipliers, on all threads; x null: the multipliers.
void drop_rows(const RowDraws& draws, const float* x, int64_t rows, int64_t columns, float* y);

}  // namespace fathom
