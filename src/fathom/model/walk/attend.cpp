#include "fathom/model/walk/attend.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {
namespace {

// Rows of several sets as one set of keys, each sequence's in order of their positions.
class Union {
 public:
  // Of rows at one position the last set's is taken.
  explicit Union(const std::vector<const Rows*>& sets) : sets_(sets), offsets_{0} {
    int64_t longest = 0;
    for (int64_t b = 0; b < sets.front()->batch(); ++b) {
      add_sequence(static_cast<size_t>(b));
      longest = std::max(longest, offsets_.back() - offsets_[size_t(b)]);
    }
    longest_ = longest;
    const at::Device device = sets.front()->position_R.device();
    order_R_ = index_tensor(numbers_, device);
    if (offsets_.back() == longest * batch()) return;
    std::vector<int64_t> places;
    for (int64_t b = 0; b < batch(); ++b)
      for (int64_t i = offsets_[size_t(b)]; i < offsets_[size_t(b) + 1]; ++i)
        places.push_back(b * longest + i - offsets_[size_t(b)]);
    place_R_ = index_tensor(places, device);
  }

  // A value of each row of each set; `none` for the sets that have none, undefined if no set has.
  Tensor of(std::vector<Tensor> x_R, const c10::Scalar& none = 0) const {
    const auto has = [](const Tensor& x) { return x.defined(); };
    const auto known = std::find_if(x_R.begin(), x_R.end(), has);
    if (known == x_R.end()) return {};
    const auto options = known->options().requires_grad(false);
    for (size_t i = 0; i < x_R.size(); ++i)
      if (!x_R[i].defined()) x_R[i] = at::full({sets_[i]->count()}, none, options);
    return at::cat(x_R).index_select(0, order_R_);
  }
  // (R, C) of each set -> (B, longest, C)
  Tensor padded(const std::vector<Tensor>& x_RC) const {
    const Tensor all_RC = of(x_RC);
    const int64_t C = all_RC.size(1);
    if (!place_R_.defined()) return all_RC.view({batch(), longest_, C});
    return at::zeros({batch() * longest_, C}, all_RC.options().requires_grad(false))
        .index_copy(0, place_R_, all_RC)
        .view({batch(), longest_, C});
  }
  AttentionRows places() const {
    const auto B = static_cast<size_t>(batch());
    std::vector<Tensor> segment_R;
    for (const Rows* rows : sets_) segment_R.push_back(rows->segment_R);
    return {{offsets_.data(), B}, {offsets_.data() + 1, B}, positions_, of(segment_R)};
  }

 private:
  struct Row {
    int64_t position, number;  // among the rows of all sets
  };
  int64_t batch() const { return static_cast<int64_t>(offsets_.size()) - 1; }

  void add_sequence(size_t b) {
    std::vector<Row> rows;
    int64_t first = 0;
    for (const Rows* set : sets_) {
      for (int64_t i = set->offsets()[b]; i < set->offsets()[b + 1]; ++i)
        rows.push_back({set->positions()[size_t(i)], first + i});
      first += set->count();
    }
    const auto before = [](const Row& x, const Row& y) { return x.position < y.position; };
    std::stable_sort(rows.begin(), rows.end(), before);
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i + 1 < rows.size() && rows[i + 1].position == rows[i].position) continue;
      positions_.push_back(rows[i].position);
      numbers_.push_back(rows[i].number);
    }
    offsets_.push_back(static_cast<int64_t>(positions_.size()));
  }

  const std::vector<const Rows*>& sets_;
  std::vector<int64_t> offsets_, positions_, numbers_;
  int64_t longest_ = 0;
  Tensor order_R_, place_R_;  // place_R_ undefined: every place is a row
};

Tensor contiguous(const Tensor& t) {
  return t.defined() ? t.contiguous() : t;
}

}  // namespace

AttentionMask mask_of(const Rows& rows, const Visibility& v) {
  const AttentionRows all = places(rows);
  return {all,         all,     contiguous(rows.valid_R), contiguous(v.hidden_R), v.context,
          v.mask_self, v.causal};
}

std::shared_ptr<const WeightDropout> WalkAttention::draws(int slot,
                                                          const AttentionRows& keys) const {
  if (dropout_.p == 0) return nullptr;
  const StepSpec* step = dropout_.step;
  const std::string site =
      step == nullptr
          ? fmt::format("attention_weights.{}", slot)
          : step->site("attention_weights", step->attention_place + slot - step->cache_slot);
  return std::make_shared<const WeightDropout>(
      dropout_.field->attention_draws(site, dropout_.p, places(rows_), keys, dropout_.span));
}

Tensor WalkAttention::attend(int slot, const Tensor& q_RC, const Tensor& k_RC, const Tensor& v_RC) {
  return attend(slot, q_RC, k_RC, v_RC, AttentionForm());
}

Tensor WalkAttention::attend(int slot, const Tensor& q_RC, const Tensor& k_RC, const Tensor& v_RC,
                             const AttentionForm& form) {
  const auto beside = put_.find(slot);
  if (beside != put_.end()) return attend_beside(slot, beside->second, q_RC, k_RC, v_RC, form);
  const AttentionMask mask = mask_of(rows_, visibility_);
  return rows_.unpad(attention(rows_.pad(q_RC), rows_.pad(k_RC), rows_.pad(v_RC), n_head_, mask,
                               draws(slot, mask.keys), form));
}

Tensor WalkAttention::attend(int slot, const Tensor& qkv_RC) {
  if (put_.count(slot) != 0) return AttentionContext::attend(slot, qkv_RC);
  const AttentionMask mask = mask_of(rows_, visibility_);
  return rows_.unpad(attention(rows_.pad(qkv_RC), n_head_, mask, draws(slot, mask.keys)));
}

void WalkAttention::put(int slot, const std::shared_ptr<const Rows>& rows, const Tensor& k_RC,
                        const Tensor& v_RC) {
  if (rows->batch() != rows_.batch())
    fail(fmt::format("keys of {} sequences for a walk of {}", rows->batch(), rows_.batch()));
  put_[slot].push_back({rows, k_RC, v_RC});
}

Tensor WalkAttention::attend_beside(int slot, const std::vector<Put>& put, const Tensor& q_RC,
                                    const Tensor& k_RC, const Tensor& v_RC,
                                    const AttentionForm& form) const {
  std::vector<const Rows*> sets;
  std::vector<Tensor> k, v, valid, hidden(put.size());
  for (const Put& p : put) {
    sets.push_back(p.rows.get());
    k.push_back(p.k_RC), v.push_back(p.v_RC), valid.push_back(p.rows->valid_R);
  }
  sets.push_back(&rows_);
  k.push_back(k_RC), v.push_back(v_RC), valid.push_back(rows_.valid_R);
  hidden.push_back(visibility_.hidden_R);
  const Union keys(sets);
  AttentionMask mask = mask_of(rows_, visibility_);
  mask.keys = keys.places();
  mask.valid = keys.of(valid, true);
  mask.hidden = keys.of(hidden, false);
  return rows_.unpad(attention(rows_.pad(q_RC), keys.padded(k), keys.padded(v), n_head_, mask,
                               draws(slot, mask.keys), form));
}

}  // namespace fathom
