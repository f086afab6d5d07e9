// How a block touches other positions, and the only way it can.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fathom/model/random_field.h"
#include "fathom/model/rows.h"
#include "fathom/ops/ops.h"

namespace fathom {

// Owns masks, windows and caches, so that a block written by a user decodes with a cache and with
// fewer rows without knowing of either.
class AttentionContext {
 public:
  virtual ~AttentionContext() = default;
  // q, k (R, H * D) and v (R, H * E) of the step's rows -> (R, H * E). `slot`: of the keys and
  // values in a cache; every call of a program has its own.
  virtual Tensor attend(int slot, const Tensor& q_RC, const Tensor& k_RC, const Tensor& v_RC) = 0;
  // q, k, v one behind the other in each row.
  virtual Tensor attend(int slot, const Tensor& qkv_RC) {
    const std::vector<Tensor> qkv = qkv_RC.chunk(3, -1);
    return attend(slot, qkv[0], qkv[1], qkv[2]);
  }
};

// What a step's queries may not see, besides other segments.
struct Visibility {
  std::optional<int64_t> context;  // positions before itself; unset: all
  Tensor hidden_R;                 // bool: keys that nobody sees; undefined: none
  bool mask_self = true;           // a hidden key is hidden from its own query as well
  bool causal = true;              // false: the future is seen, without a cache only
};

// Makes the masks of a walk's steps. What depends on positions and window alone is made once.
class Masks {
 public:
  AttentionMask of(const Rows& rows, const Visibility& visibility);

 private:
  void begin(const Rows& rows);
  void make_base(const Rows& rows, const Visibility& visibility);

  const Rows* rows_ = nullptr;
  Tensor query_, key_;  // positions, to be broadcast to (Q, K) or (B, Q, K)
  std::optional<int64_t> context_;
  AttentionMask base_;
};

// Attention among the rows of one step of a whole walk, without a cache.
class WalkAttention : public AttentionContext {
 public:
  struct Dropout {
    double p = 0;
    const RandomField* field = nullptr;
    int64_t span = 0;  // more than any position
  };
  WalkAttention(const Rows& rows, AttentionMask mask, int64_t n_head, Dropout dropout)
      : rows_(rows), mask_(std::move(mask)), n_head_(n_head), dropout_(dropout) {}

  Tensor attend(int slot, const Tensor& q_RC, const Tensor& k_RC, const Tensor& v_RC) override;
  Tensor attend(int slot, const Tensor& qkv_RC) override;

 private:
  std::shared_ptr<const WeightDropout> draws(int slot) const;

  const Rows& rows_;
  AttentionMask mask_;
  int64_t n_head_;
  Dropout dropout_;
};

}  // namespace fathom
