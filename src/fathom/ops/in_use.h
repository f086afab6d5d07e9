// What the operations of this thread find without being handed it, for as long as somebody says so.
#pragma once

namespace fathom {

// Makes `t` what current() returns on this thread until the scope ends. Then the one before it is
// current again, and t.end_use() is called.
template <class T>
class InUse {
 public:
  explicit InUse(T& t) : t_(t), before_(current_) { current_ = &t; }
  ~InUse() {
    current_ = before_;
    t_.end_use();
  }
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;

  static T* current() { return current_; }  // null: none

 private:
  static inline thread_local T* current_ = nullptr;
  T& t_;
  T* before_;
};

}  // namespace fathom
