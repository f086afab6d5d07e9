// Who sees whom in attention, described: a few numbers a row. Kernels make ranges of it, the plain
// definition a matrix.
#pragma once

#include <algorithm>
#include <optional>

#include "fathom/base/span.h"
#include "fathom/ops/tensor.h"

namespace fathom {

// Rows of B sequences: those of sequence b are [begin[b], end[b]) of everything that is by row.
// Tensors of attention have longest() places for each sequence; those after its rows see nothing
// and are not seen. Owns nothing: what it points at must live as long as the call.
struct AttentionRows {
  Span<const int64_t> begin, end;  // (B)
  Span<const int64_t> positions;   // by row, on the processor. Kernels like them to increase
  Tensor segments;                 // by row, int64; undefined: all 0

  int64_t batch() const { return static_cast<int64_t>(begin.size()); }
  int64_t count(int64_t b) const { return end[size_t(b)] - begin[size_t(b)]; }
  int64_t longest() const {
    int64_t most = 0;
    for (int64_t b = 0; b < batch(); ++b) most = std::max(most, count(b));
    return most;
  }
};

// A query sees a key of its sequence and segment that is valid, not hidden, not after it (if
// `causal`) and at most `context` positions away. A sequence's keys are at different positions.
struct AttentionMask {
  AttentionRows queries, keys;     // may be the same rows, or not
  Tensor valid;                    // bool, by key; undefined: all are
  Tensor hidden;                   // bool, by key; undefined: none is
  std::optional<int64_t> context;  // unset: any distance
  bool mask_self = true;           // false: a hidden key is seen by the query at its position
  bool causal = true;
  bool strict = false;  // a query does not see the key at its position

  // Every place is a row.
  bool is_even() const;
  // A query may have no key left.
  bool may_be_empty() const;
  // Of all sequences alike.
  bool is_shared() const;
};

}  // namespace fathom
