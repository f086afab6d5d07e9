// Data sets whose batches are several of another's.
#pragma once

#include <memory>
#include <utility>

#include "fathom/data/data_set.h"

namespace fathom {

// Draws the next `count` batches as one, and moves the cursor behind them.
Drawn take(const DataSet& data, int64_t count, const Cursor& cursor);

// `count` of the other's at a time.
class InBatches : public DataSet {
 public:
  InBatches(std::shared_ptr<const DataSet> data, int64_t count)
      : data_(std::move(data)), count_(count) {}
  Cursor start() const override { return data_->start(); }
  Drawn next(const Cursor& cursor) const override { return take(*data_, count_, cursor); }
  std::optional<int64_t> samples() const override { return data_->samples(); }
  bool is_between_samples(const Cursor& cursor) const override {
    return data_->is_between_samples(cursor);
  }
  Cursor next_sample(const Cursor& cursor) const override { return data_->next_sample(cursor); }

 private:
  std::shared_ptr<const DataSet> data_;
  int64_t count_;
};

// The first `draws` of the other's batches, `count` at a time; the last batch may have fewer.
//
// Cursor: "drawn", batches of the other's, and its own as "data".
class FirstInBatches : public DataSet {
 public:
  FirstInBatches(std::shared_ptr<const DataSet> data, int64_t draws, int64_t count)
      : data_(std::move(data)), draws_(draws), count_(count) {}
  Drawn next(const Cursor& cursor) const override;
  int64_t batches() const { return (draws_ + count_ - 1) / count_; }
  int64_t draws() const { return draws_; }

 private:
  std::shared_ptr<const DataSet> data_;
  int64_t draws_, count_;
};

}  // namespace fathom
