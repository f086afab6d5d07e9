#include "fathom/data/prefetched.h"

#include <algorithm>
#include <utility>

namespace fathom {

Prefetched::Prefetched(std::shared_ptr<const DataSet> data, size_t depth)
    : data_(std::move(data)), depth_(std::max<size_t>(depth, 1)), thread_([this] { run(); }) {}

Prefetched::~Prefetched() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  asked_.notify_all();
  thread_.join();
}

void Prefetched::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    asked_.wait(lock, [&] { return ends_ || (to_draw_ && ahead_.size() < depth_); });
    if (ends_) return;
    Ahead one;
    one.cursor = *to_draw_;
    const uint64_t course = course_;
    lock.unlock();
    try {
      one.drawn = data_->next(one.cursor);
    } catch (...) {
      one.error = std::current_exception();
    }
    lock.lock();
    if (course != course_) continue;  // nobody wants it any more
    if (one.error)
      to_draw_.reset();
    else
      to_draw_ = one.drawn.after;
    ahead_.push_back(std::move(one));
    made_.notify_all();
  }
}

// It is there, or about to be.
bool Prefetched::comes_next(const Cursor& cursor) const {
  return ahead_.empty() ? to_draw_ == cursor : ahead_.front().cursor == cursor;
}

Drawn Prefetched::next(const Cursor& cursor) const {
  std::unique_lock lock(mutex_);
  if (comes_next(cursor)) {
    const uint64_t course = course_;
    made_.wait(lock, [&] { return course != course_ || !comes_next(cursor) || !ahead_.empty(); });
    if (course == course_ && comes_next(cursor)) {
      Ahead one = std::move(ahead_.front());
      ahead_.pop_front();
      lock.unlock();
      asked_.notify_all();
      made_.notify_all();
      if (one.error) std::rethrow_exception(one.error);
      return std::move(one.drawn);
    }
  }
  lock.unlock();
  Drawn drawn = data_->next(cursor);
  lock.lock();
  ++course_;
  ahead_.clear();
  to_draw_ = drawn.after;
  lock.unlock();
  asked_.notify_all();
  made_.notify_all();
  return drawn;
}

}  // namespace fathom
