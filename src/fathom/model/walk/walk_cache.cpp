#include "fathom/model/walk/walk_cache.h"

#include <ATen/ops/full.h>

#include <algorithm>

namespace fathom {

void WalkCache::forget(int64_t sequence) {
  truncate(sequence, 0);
}

void WalkCache::truncate(int64_t sequence, int64_t position) {
  keys.truncate(sequence, position);
  for (WaitingRows& w : waiting) {
    const std::vector<int64_t>& offsets = w.rows->offsets();
    const Tensor stay_R = at::full({w.rows->count()}, true, at::TensorOptions(at::kBool));
    for (int64_t i = offsets[size_t(sequence)]; i < offsets[size_t(sequence) + 1]; ++i)
      stay_R.data_ptr<bool>()[i] = w.rows->positions()[size_t(i)] < position;
    WalkState state{w.until, w.rows, w.travel, {}};
    state.split(stay_R.to(w.rows->token_R.device()));
    w.rows = state.rows, w.travel = std::move(state.travel);
  }
  waiting.erase(std::remove_if(waiting.begin(), waiting.end(),
                               [](const WaitingRows& w) { return w.rows->count() == 0; }),
                waiting.end());
}

}  // namespace fathom
