#include "fathom/model/walk/rows.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <numeric>

#include "fathom/ops/few_rows.h"
#include "fathom/ops/tensor_pool.h"

namespace fathom {
namespace {

std::vector<int64_t> on_processor(const Tensor& t) {
  const Tensor c = t.to(at::kCPU).contiguous();
  return {c.data_ptr<int64_t>(), c.data_ptr<int64_t>() + c.numel()};
}

}  // namespace

Tensor index_tensor(const std::vector<int64_t>& values, at::Device device) {
  const Tensor t = new_tensor({static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), t.data_ptr<int64_t>());
  return device.is_cpu() ? t : t.to(device);
}

Rows::Rows(const Batch& batch) {
  const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1);
  const at::Device device = batch.tokens_BT.device();
  longest_ = T;
  for (int64_t b = 0; b <= B; ++b) offsets_.push_back(b * T);
  token_R = batch.tokens_BT.reshape({B * T});
  source_R_ = at::arange(B * T, at::TensorOptions(at::kLong).device(device));
  position_R =
      batch.position_BT.defined() ? batch.position_BT.reshape({B * T}) : source_R_.remainder(T);
  if (batch.segment_BT.defined()) segment_R = batch.segment_BT.reshape({B * T});
  if (batch.valid_BT.defined()) valid_R = batch.valid_BT.reshape({B * T});
  positions_ = on_processor(position_R);
}

Rows::Rows(const std::vector<std::vector<int64_t>>& tokens,
           const std::vector<int64_t>& first_positions, at::Device device) {
  std::vector<int64_t> all;
  offsets_.push_back(0);
  for (size_t b = 0; b < tokens.size(); ++b) {
    all.insert(all.end(), tokens[b].begin(), tokens[b].end());
    for (size_t i = 0; i < tokens[b].size(); ++i)
      positions_.push_back(first_positions[b] + static_cast<int64_t>(i));
    add_sequence(static_cast<int64_t>(tokens[b].size()));
  }
  token_R = index_tensor(all, device);
  position_R = index_tensor(positions_, device);
  std::vector<int64_t> numbers(all.size());
  std::iota(numbers.begin(), numbers.end(), 0);
  source_R_ = index_tensor(numbers, device);
  place(device);
}

void Rows::add_sequence(int64_t rows) {
  longest_ = std::max(longest_, rows);
  offsets_.push_back(offsets_.back() + rows);
}

void Rows::place(at::Device device) {
  if (even()) return;
  std::vector<int64_t> slots;
  for (size_t b = 0; b + 1 < offsets_.size(); ++b)
    for (int64_t i = offsets_[b]; i < offsets_[b + 1]; ++i)
      slots.push_back(static_cast<int64_t>(b) * longest_ + i - offsets_[b]);
  slot_R_ = index_tensor(slots, device);
}

Tensor Rows::of(const Tensor& x_BT) const {
  const Tensor flat = x_BT.reshape({x_BT.numel()});
  return flat.numel() == count() ? flat : flat.index_select(0, source_R_);
}

Rows Rows::select(const Tensor& keep_R) const {
  const Tensor kept = places_of(keep_R);
  const std::vector<int64_t> indices = on_processor(kept);
  Rows rows;
  rows.offsets_.push_back(0);
  for (size_t b = 0; b + 1 < offsets_.size(); ++b) {
    const auto end = std::lower_bound(indices.begin(), indices.end(), offsets_[b + 1]);
    rows.add_sequence(end - indices.begin() - rows.offsets_.back());
  }
  for (const int64_t i : indices) rows.positions_.push_back(positions_[static_cast<size_t>(i)]);
  rows.token_R = take_rows(token_R, kept);
  rows.position_R = take_rows(position_R, kept);
  rows.source_R_ = take_rows(source_R_, kept);
  if (segment_R.defined()) rows.segment_R = take_rows(segment_R, kept);
  if (valid_R.defined()) rows.valid_R = take_rows(valid_R, kept);
  rows.place(token_R.device());
  return rows;
}

Rows Rows::joined(const Rows& others, Tensor* index_R) const {
  Rows rows;
  rows.offsets_.push_back(0);
  std::vector<int64_t> index;
  for (size_t b = 0; b + 1 < offsets_.size(); ++b) {
    int64_t i = offsets_[b], j = others.offsets_[b];
    const int64_t end = offsets_[b + 1], others_end = others.offsets_[b + 1];
    rows.add_sequence(end - i + others_end - j);
    while (i < end || j < others_end) {
      const bool mine =
          j == others_end || (i < end && positions_[static_cast<size_t>(i)] <
                                             others.positions_[static_cast<size_t>(j)]);
      rows.positions_.push_back(mine ? positions_[static_cast<size_t>(i)]
                                     : others.positions_[static_cast<size_t>(j)]);
      index.push_back(mine ? i++ : count() + j++);
    }
  }
  *index_R = index_tensor(index, token_R.device());
  const auto both = [&](const Tensor& x, const Tensor& y) {
    return take_rows_of_both(x, y, *index_R);
  };
  rows.token_R = both(token_R, others.token_R);
  rows.position_R = both(position_R, others.position_R);
  rows.source_R_ = both(source_R_, others.source_R_);
  if (segment_R.defined()) rows.segment_R = both(segment_R, others.segment_R);
  if (valid_R.defined()) rows.valid_R = both(valid_R, others.valid_R);
  rows.place(token_R.device());
  return rows;
}

Rows Rows::without_source() const {
  Rows rows = *this;
  rows.source_R_ = at::zeros_like(source_R_);
  return rows;
}

Tensor Rows::pad(const Tensor& x_RC) const {
  if (!slot_R_.defined()) return x_RC.reshape({batch(), longest_, x_RC.size(-1)});
  return at::zeros({batch() * longest_, x_RC.size(-1)}, x_RC.options().requires_grad(false))
      .index_copy(0, slot_R_, x_RC)
      .view({batch(), longest_, x_RC.size(-1)});
}

Tensor Rows::unpad(const Tensor& x_BTC) const {
  const Tensor flat = x_BTC.reshape({batch() * longest_, x_BTC.size(-1)});
  return slot_R_.defined() ? flat.index_select(0, slot_R_) : flat;
}

}  // namespace fathom
