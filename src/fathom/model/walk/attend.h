// How a block touches other positions, and the only way it can.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fathom/model/spec/depth_program.h"
#include "fathom/model/walk/places.h"
#include "fathom/model/walk/random_field.h"
#include "fathom/ops/attention_form.h"
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
  // The same of another form: q, k (R, H * D), v (R, E of all heads) -> (R, H * E), or (R, E) where
  // the heads are joined.
  virtual Tensor attend(int slot, const Tensor& q_RC, const Tensor& k_RC, const Tensor& v_RC,
                        const AttentionForm& form) = 0;
  // q, k, v one behind the other in each row.
  virtual Tensor attend(int slot, const Tensor& qkv_RC) {
    const std::vector<Tensor> qkv = qkv_RC.chunk(3, -1);
    return attend(slot, qkv[0], qkv[1], qkv[2]);
  }
  // Keys and values of rows that ask nothing, of the same sequences: the slot's later calls see
  // them. Of two with one position the later one is there, the step's own rows last.
  virtual void put(int slot, const std::shared_ptr<const Rows>& rows, const Tensor& k_RC,
                   const Tensor& v_RC) = 0;
  virtual const Rows& rows() const = 0;  // the step's
  virtual int64_t heads() const = 0;
};

// What a step's queries may not see, besides other segments.
struct Visibility {
  std::optional<int64_t> context;  // positions before itself; unset: all
  Tensor hidden_R;                 // bool: keys that nobody sees; undefined: none
  bool mask_self = true;           // a hidden key is hidden from its own query as well
  bool causal = true;              // false: the future is seen, without a cache only
};

// What rows see of one another. Valid as long as the rows.
AttentionMask mask_of(const Rows& rows, const Visibility& visibility);

// Attention among the rows of one step of a whole walk, and to those put beside them; no cache.
class WalkAttention : public AttentionContext {
 public:
  struct Dropout {
    double p = 0;
    const RandomField* field = nullptr;
    int64_t span = 0;                // more than any position
    const StepSpec* step = nullptr;  // names the draws; null: the slot does
  };
  WalkAttention(const Rows& rows, Visibility visibility, int64_t n_head, Dropout dropout)
      : rows_(rows), visibility_(std::move(visibility)), n_head_(n_head), dropout_(dropout) {}

  Tensor attend(int slot, const Tensor& q_RC, const Tensor& k_RC, const Tensor& v_RC) override;
  Tensor attend(int slot, const Tensor& q_RC, const Tensor& k_RC, const Tensor& v_RC,
                const AttentionForm& form) override;
  Tensor attend(int slot, const Tensor& qkv_RC) override;
  void put(int slot, const std::shared_ptr<const Rows>& rows, const Tensor& k_RC,
           const Tensor& v_RC) override;
  const Rows& rows() const override { return rows_; }
  int64_t heads() const override { return n_head_; }

 private:
  struct Put {
    std::shared_ptr<const Rows> rows;
    Tensor k_RC, v_RC;
  };
  std::shared_ptr<const WeightDropout> draws(int slot, const AttentionRows& keys) const;
  Tensor attend_beside(int slot, const std::vector<Put>& put, const Tensor& q_RC,
                       const Tensor& k_RC, const Tensor& v_RC, const AttentionForm& form) const;

  const Rows& rows_;
  Visibility visibility_;
  int64_t n_head_;
  Dropout dropout_;
  std::map<int, std::vector<Put>> put_;  // by slot
};

}  // namespace fathom
