// The rows of a walk as attention knows them.
#pragma once

#include "fathom/model/walk/rows.h"
#include "fathom/ops/attention_mask.h"

namespace fathom {

// Valid as long as the rows.
inline AttentionRows places(const Rows& rows) {
  const int64_t* offsets = rows.offsets().data();
  const auto B = static_cast<size_t>(rows.batch());
  return {{offsets, B},
          {offsets + 1, B},
          rows.positions(),
          rows.segment_R.defined() ? rows.segment_R.contiguous() : Tensor()};
}

}  // namespace fathom
