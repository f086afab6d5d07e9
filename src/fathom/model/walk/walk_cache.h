// What a text's earlier tokens left for its later ones.
#pragma once

#include <vector>

#include "fathom/model/walk/attention_cache.h"
#include "fathom/model/walk/state.h"

namespace fathom {

// What the rows' sequences had before: seen by a walk's rows, and added to by them.
class WalkCache {
 public:
  WalkCache(int64_t sequences, int64_t capacity) : keys(sequences, capacity) {}

  AttentionCache keys;
  // Rows of earlier walks that have answered and go on when a later row needs their keys
  // (KeyFate::kFilledLater).
  std::vector<WaitingRows> waiting;

  void forget(int64_t sequence);
  // Positions from this one on are gone.
  void truncate(int64_t sequence, int64_t position);
};

}  // namespace fathom
