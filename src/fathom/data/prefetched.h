// Draws ahead of whoever asks, on a thread of its own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "fathom/data/data_set.h"

namespace fathom {

// The same draws as of the data set below, from the same cursors: it is only asked earlier. While
// cursors follow one another the next `depth` draws are made ahead; one that does not follow is
// drawn at once, and the drawing ahead goes on behind it. An error is thrown by the call for the
// cursor that has it; where nobody asks for that one it is none. The destructor waits for the draw
// in progress.
class Prefetched : public DataSet {
 public:
  explicit Prefetched(std::shared_ptr<const DataSet> data, size_t depth = 1);
  ~Prefetched() override;
  Prefetched(const Prefetched&) = delete;
  Prefetched& operator=(const Prefetched&) = delete;

  Cursor start() const override { return data_->start(); }
  Drawn next(const Cursor& cursor) const override;
  std::optional<int64_t> samples() const override { return data_->samples(); }
  bool is_between_samples(const Cursor& cursor) const override {
    return data_->is_between_samples(cursor);
  }
  Cursor next_sample(const Cursor& cursor) const override { return data_->next_sample(cursor); }

 private:
  struct Ahead {
    Cursor cursor;
    Drawn drawn;
    std::exception_ptr error;  // in place of `drawn`
  };
  void run();
  bool comes_next(const Cursor& cursor) const;

  std::shared_ptr<const DataSet> data_;
  size_t depth_;
  mutable std::mutex mutex_;
  mutable std::condition_variable asked_, made_;
  mutable std::deque<Ahead> ahead_;        // one behind the other
  mutable std::optional<Cursor> to_draw_;  // behind the last of them; none: nothing is to be drawn
  mutable uint64_t course_ = 0;            // counts the cursors that did not follow
  bool ends_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace fathom
