// Keys and values of tokens that were computed before, so that a walk over new tokens sees them.
//
// B sequences, R rows, K keys.
#pragma once

#include <vector>

#include "fathom/model/walk/attend.h"

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
  // Takes the rows' keys and values, each in the place of the one that the sequence has at this
  // slot and position, if there is one; positions may come in any order, those of one call
  // increasing. `hidden_R` (bool): nobody sees them; undefined: all are seen. Throws Error when
  // there is no room.
  void put(int slot, const Rows& rows, const Columns& keys, const Columns& values,
           const Tensor& hidden_R);
  // Everything that is there, and what the rows may see of it. Valid until the next call, and as
  // long as the rows.
  KeptKeys contents(int slot, const Rows& rows, const Visibility& visibility) const;
  // Keys at this position and later ones are gone, at every slot.
  void truncate(int64_t sequence, int64_t position);
  void forget(int64_t sequence);

 private:
  // What is by key has room for `capacity` keys of each sequence, which are in order of their
  // positions. Numbers are on the processor: a mask is made of a few for each token, which a device
  // would take longer to be told to compute than a loop takes.
  struct Slot {
    Tensor k_BCK, v_BKC;  // as KeptKeys has them
    std::vector<int64_t> ends, positions;
    Tensor segments, valid, hidden;
    bool has_segments = false, has_invalid = false, has_hidden = false;  // or had
  };
  struct Given;
  void allocate(Slot& slot, const Columns& keys, const Columns& values) const;
  // The place of the sequence's first key at this position or after it.
  int64_t place_of(const Slot& slot, int64_t sequence, int64_t position) const;
  // Keys [first, end) of the sequence move by so many places towards the end.
  void move(Slot& slot, int64_t sequence, int64_t first, int64_t end, int64_t by) const;
  void put(Slot& slot, int64_t sequence, const Given& given) const;
  // Rows become the keys from place `at` on.
  void write(Slot& slot, int64_t sequence, int64_t at, int64_t first, int64_t count,
             const Given& given) const;

  int64_t sequences_, capacity_;
  std::vector<int64_t> begins_;  // of the sequences' keys
  std::vector<Slot> slots_;
};

// Attention of a step's rows to themselves and to what the cache has.
class CachedAttention : public AttentionContext {
 public:
  CachedAttention(const Rows& rows, AttentionCache& cache, Visibility visibility, int64_t n_head)
      : rows_(rows), cache_(cache), visibility_(std::move(visibility)), n_head_(n_head) {}

  Tensor attend(int slot, const Tensor& q_RC, const Tensor& k_RC, const Tensor& v_RC) override;
  Tensor attend(int slot, const Tensor& q_RC, const Tensor& k_RC, const Tensor& v_RC,
                const AttentionForm& form) override;
  Tensor attend(int slot, const Tensor& qkv_RC) override;
  void put(int slot, const std::shared_ptr<const Rows>& rows, const Tensor& k_RC,
           const Tensor& v_RC) override;
  // What is put (not what attends) from now on goes to these slots as well, so far from its own.
  void put_ahead(std::vector<int> distances) { ahead_ = std::move(distances); }
  const Rows& rows() const override { return rows_; }
  int64_t heads() const override { return n_head_; }

 private:
  // Queries in the first columns of the rows, or (R, C) alone if the rows are not even.
  Tensor attend_to_kept(int slot, const Tensor& q_RC, const AttentionForm& form = {});

  const Rows& rows_;
  AttentionCache& cache_;
  Visibility visibility_;
  int64_t n_head_;
  std::vector<int> ahead_;
};

}  // namespace fathom
