// Keys and values of tokens that were computed before, so that a walk over new tokens sees them.
//
// B sequences, R rows, K keys.
#pragma once

#include <vector>

#include "fathom/model/attend.h"

namespace fathom {

class AttentionCache {
 public:
  // Room for `capacity` tokens of each sequence.
  AttentionCache(int64_t sequences, int64_t capacity);

  // Keys of a sequence at a slot: fewer at the slots of later steps, where tokens have left the
  // walk.
  int64_t keys(int slot, int64_t sequence) const;
  int64_t slots() const { return static_cast<int64_t>(slots_.size()); }

  // Adds the rows' keys and values; a sequence's rows come after those that it has. Throws Error
  // when there is no room. Then everything that is there, valid until the next call:
  struct Contents {
    Tensor k_BKC, v_BKC;
    Tensor position_BK;  // int64; -1: no key, or one that nobody may see
    Tensor segment_BK;   // undefined as in Rows
    Tensor hidden_BK;    // bool
  };
  Contents add(int slot, const Rows& rows, const Tensor& k_RC, const Tensor& v_RC,
               const Tensor& hidden_R);
  void forget(int64_t sequence);

 private:
  struct Slot {
    Tensor k, v, position, segment, hidden;  // (B * capacity, C) and (B * capacity)
    std::vector<int64_t> count;              // of each sequence
  };
  void allocate(Slot& slot, const Rows& rows, const Tensor& k_RC, const Tensor& v_RC) const;

  int64_t sequences_, capacity_;
  std::vector<Slot> slots_;
};

// Attention of a step's rows to themselves and to what the cache has.
class CachedAttention : public AttentionContext {
 public:
  CachedAttention(const Rows& rows, AttentionCache& cache, Visibility visibility, int64_t n_head)
      : rows_(rows), cache_(cache), visibility_(std::move(visibility)), n_head_(n_head) {}

  using AttentionContext::attend;
  Tensor attend(int slot, const Tensor& q_RC, const Tensor& k_RC, const Tensor& v_RC) override;

 private:
  const Rows& rows_;
  AttentionCache& cache_;
  Visibility visibility_;
  int64_t n_head_;
};

}  // namespace fathom
