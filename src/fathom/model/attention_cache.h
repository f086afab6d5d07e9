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

  // Some columns of (R, ...).
  struct Columns {
    const Tensor& x_R;
    int64_t first = 0, count = 0;
  };
  // Adds the rows' keys and values; a sequence's rows come after those that it has. `hidden_R`
  // (bool): nobody sees them; undefined: all are seen. Throws Error when there is no room.
  void add(int slot, const Rows& rows, const Columns& keys, const Columns& values,
           const Tensor& hidden_R);
  // Everything that is there, and what the rows, the last ones added, may not see of it. Valid
  // until the next call.
  KeptKeys contents(int slot, const Rows& rows, const Visibility& visibility);
  void forget(int64_t sequence);

 private:
  // On the processor: a mask is made of a few numbers for each token, which a device would take
  // longer to be told to compute than the loop takes.
  struct Key {
    int64_t position = 0, segment = 0;
    bool valid = true, hidden = false;
  };
  struct Keys {
    std::vector<Key> all;
    // The first so many are of one segment and at neighbouring positions, valid and not hidden: of
    // the usual text all of them. What may be seen of these is a range.
    size_t plain = 0;
    void add(const Key& key);
    void clear();
  };
  struct Slot {
    Tensor k_BCK, v_BKC;     // as KeptKeys has them, with room for `capacity`
    std::vector<Keys> keys;  // of each sequence
  };
  void allocate(Slot& slot, const Columns& keys, const Columns& values) const;
  static void show(const Keys& keys, const Key& query, const Visibility& visibility, uint8_t* line);

  int64_t sequences_, capacity_;
  std::vector<Slot> slots_;
  std::vector<uint8_t> blocked_;
};

// Attention of a step's rows to themselves and to what the cache has.
class CachedAttention : public AttentionContext {
 public:
  CachedAttention(const Rows& rows, AttentionCache& cache, Visibility visibility, int64_t n_head)
      : rows_(rows), cache_(cache), visibility_(std::move(visibility)), n_head_(n_head) {}

  Tensor attend(int slot, const Tensor& q_RC, const Tensor& k_RC, const Tensor& v_RC) override;
  Tensor attend(int slot, const Tensor& qkv_RC) override;

 private:
  // Queries in the first columns of the rows, or (R, C) alone if the rows are not even.
  Tensor attend_to_kept(int slot, const Tensor& q_RC);

  const Rows& rows_;
  AttentionCache& cache_;
  Visibility visibility_;
  int64_t n_head_;
};

}  // namespace fathom
