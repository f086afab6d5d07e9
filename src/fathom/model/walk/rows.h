// The tokens that a walk is computing. Dense, that is every position of the batch; when tokens have
// left the walk, fewer. Hidden states are (R, C), a sequence's rows one behind the other.
//
// B sequences, T positions, R rows.
#pragma once

#include <vector>

#include "fathom/model/walk/batch.h"

namespace fathom {

// On `device`, int64.
Tensor index_tensor(const std::vector<int64_t>& values, at::Device device);

class Rows {
 public:
  explicit Rows(const Batch& batch);
  // Sequences of different lengths, none or more tokens each; those of sequence b are at positions
  // first_positions[b], first_positions[b] + 1, ... source() counts the rows.
  Rows(const std::vector<std::vector<int64_t>>& tokens, const std::vector<int64_t>& first_positions,
       at::Device device);

  int64_t batch() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  int64_t count() const { return offsets_.back(); }
  int64_t longest() const { return longest_; }
  // Every sequence has the same number of rows: (R, C) is (B, longest, C).
  bool even() const { return batch() * longest_ == count(); }
  // offsets()[b] .. offsets()[b + 1] are the rows of sequence b.
  const std::vector<int64_t>& offsets() const { return offsets_; }
  // Of each row, on the processor; addresses of its random numbers.
  const std::vector<int64_t>& positions() const { return positions_; }

  // This batch's (B, T) values at the rows: (R).
  Tensor of(const Tensor& x_BT) const;
  // The rows where `keep` (R, bool) is true.
  Rows select(const Tensor& keep_R) const;
  // These and others of the same sequences, in the order of positions. `index_R`: of each row, its
  // place in these and then the others.
  Rows joined(const Rows& others, Tensor* index_R) const;
  // The same rows as strangers to the batch: source() is 0 for all of them.
  Rows without_source() const;
  // Numbers of the rows among the batch's B * T positions, int64.
  const Tensor& source() const { return source_R_; }

  Tensor pad(const Tensor& x_RC) const;     // (B, longest, C), zeros after a sequence's rows
  Tensor unpad(const Tensor& x_BTC) const;  // and back, from (B * longest, C) as well

  Tensor token_R, position_R;  // int64
  Tensor segment_R, valid_R;   // undefined as in Batch

 private:
  Rows() = default;
  void add_sequence(int64_t rows);
  void place(at::Device device);

  int64_t longest_ = 0;
  std::vector<int64_t> offsets_, positions_;
  Tensor source_R_;
  Tensor slot_R_;  // place of each row in (B * longest); undefined if even
};

}  // namespace fathom
