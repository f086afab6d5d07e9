// What a model is given: columns of tokens. A column that is added has a line in kBatchColumns, or
// nothing compiles: whatever cuts, joins, moves or writes batches goes through that list.
//
// B sequences, T positions.
#pragma once

#include <iterator>
#include <map>
#include <string>

#include "fathom/ops/tensor.h"

namespace fathom {

struct Batch {
  Tensor tokens_BT;    // int64
  Tensor targets_BT;   // int64, -1 = no target; undefined: none at all
  Tensor weight_BT;    // of each target in the loss; undefined: 1
  Tensor valid_BT;     // bool: may be seen and may halt, target or not; undefined: all
  Tensor segment_BT;   // int64: only positions of one segment see each other; undefined: one
  Tensor position_BT;  // int64, increasing within a sequence; undefined: 0 .. T - 1
  // What an experiment's losses ask for besides, by name: (B, T) of a token, (B, k) of a sequence.
  std::map<std::string, Tensor> labels = {};
};

struct BatchColumn {
  const char* name;
  Tensor Batch::*of;
};

inline constexpr BatchColumn kBatchColumns[] = {
    {"tokens", &Batch::tokens_BT},   {"targets", &Batch::targets_BT},
    {"weight", &Batch::weight_BT},   {"valid", &Batch::valid_BT},
    {"segment", &Batch::segment_BT}, {"position", &Batch::position_BT}};
static_assert(sizeof(Batch) == std::size(kBatchColumns) * sizeof(Tensor) + sizeof(Batch::labels),
              "a column is missing");

// f of every column and label that is there.
template <class F>
Batch map_columns(const Batch& batch, const F& f) {
  Batch out;
  for (const BatchColumn& column : kBatchColumns)
    if ((batch.*column.of).defined()) out.*column.of = f(batch.*column.of);
  for (const auto& [name, values] : batch.labels) out.labels[name] = f(values);
  return out;
}

}  // namespace fathom
