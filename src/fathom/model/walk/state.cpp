#include "fathom/model/walk/state.h"

#include <limits>

#include "fathom/base/error.h"

namespace fathom {
namespace {

// Both one behind the other, then in the order `index`.
class Joiner {
 public:
  Joiner(const Travel& a, const Travel& b, Tensor index) : a_(a), b_(b), index_(std::move(index)) {}

  Travel run() const {
    if (a_.loops.size() != b_.loops.size() || a_.carry.x0_RC.size() != b_.carry.x0_RC.size())
      fail("rows join a walk that stands in other loops than they do");
    Travel out;
    out.carry.r_RC = both(a_.carry.r_RC, b_.carry.r_RC);
    if (a_.carry.y_RC.defined() || b_.carry.y_RC.defined())
      out.carry.y_RC = both(filled(a_.carry.y_RC, a_, 0), filled(b_.carry.y_RC, b_, 0));
    for (size_t i = 0; i < a_.carry.x0_RC.size(); ++i)
      out.carry.x0_RC.push_back(both(a_.carry.x0_RC[i], b_.carry.x0_RC[i]));
    for (size_t i = 0; i < a_.loops.size(); ++i)
      out.loops.push_back(frame(a_.loops[i], b_.loops[i]));
    out.done_R = mask(a_.done_R, b_.done_R);
    out.hidden_R = mask(a_.hidden_R, b_.hidden_R);
    out.readings = memory(a_.readings, b_.readings);
    // Between doors nobody asks for them.
    if (a_.door_r_RC.defined()) out.door_r_RC = both(a_.door_r_RC, b_.carry.r_RC);
    if (a_.door_r_RC.defined() && out.carry.y_RC.defined())
      out.door_y_RC = both(filled(a_.door_y_RC, a_, 0), filled(b_.carry.y_RC, b_, 0));
    return out;
  }

 private:
  Tensor both(const Tensor& x, const Tensor& y) const { return take_rows_of_both(x, y, index_); }
  static Tensor filled(const Tensor& x, const Travel& like, double value) {
    return x.defined() ? x : filled_like(like.carry.r_RC.detach(), value);
  }
  Tensor mask(const Tensor& x, const Tensor& y) const {
    if (!x.defined() && !y.defined()) return {};
    const auto filled = [](const Tensor& m, const Tensor& other, const Travel& like) {
      return m.defined() ? m : zero_rows(other, like.carry.r_RC.size(0));
    };
    return both(filled(x, y, a_), filled(y, x, b_));
  }
  LoopFrame frame(const LoopFrame& x, const LoopFrame& y) const {
    LoopFrame out;
    out.group = x.group;
    out.outside_R = mask(x.outside_R, y.outside_R);
    out.left_R = mask(x.left_R, y.left_R);
    // Of rows that are in the loop nobody asks what was kept.
    const auto kept = [&](Tensor LoopFrame::*of) {
      if (!(x.*of).defined() && !(y.*of).defined()) return Tensor();
      return both(filled(x.*of, a_, 0), filled(y.*of, b_, 0));
    };
    out.kept_r_RC = kept(&LoopFrame::kept_r_RC);
    out.kept_y_RC = kept(&LoopFrame::kept_y_RC);
    out.memory = memory(x.memory, y.memory);
    return out;
  }
  LoopMemory memory(const LoopMemory& x, const LoopMemory& y) const {
    return {remembered(x.input_RC, y.input_RC), remembered(x.state_RC, y.state_RC),
            remembered(x.past_RM, y.past_RM)};
  }
  Tensor remembered(const Tensor& x, const Tensor& y) const {
    if (!x.defined() && !y.defined()) return {};
    const auto nothing = [](const Tensor& like, const Travel& of) {
      return filled_like(zero_rows(like, of.carry.r_RC.size(0)),
                         std::numeric_limits<double>::quiet_NaN());
    };
    return both(x.defined() ? x : nothing(y, a_), y.defined() ? y : nothing(x, b_));
  }

  const Travel &a_, &b_;
  Tensor index_;
};

}  // namespace

LoopMemory LoopMemory::kept_of(const Tensor& rows_R, const LoopMemory& before) const {
  if (!rows_R.defined()) return *this;
  const auto either_of = [&](const Tensor& now, const Tensor& then) {
    if (!now.defined()) return then;
    const Tensor other =
        then.defined() ? then : filled_like(now, std::numeric_limits<double>::quiet_NaN());
    return where_rows(rows_R, other, now);
  };
  return {either_of(input_RC, before.input_RC), either_of(state_RC, before.state_RC),
          either_of(past_RM, before.past_RM)};
}

void WalkState::join(const Rows& others, const Travel& other_travel) {
  if (others.count() == 0) return;
  if (rows->count() == 0) {
    rows = std::make_shared<const Rows>(others);
    travel = other_travel;
    return;
  }
  Tensor index_R;
  rows = std::make_shared<const Rows>(rows->joined(others, &index_R));
  travel = Joiner(travel, other_travel, index_R).run();
}

WaitingRows WalkState::split(const Tensor& stay_R) {
  const Tensor leave_R = none_of(stay_R);
  WaitingRows gone;
  gone.rows = std::make_shared<const Rows>(rows->select(leave_R));
  if (gone.rows->count() == 0) return gone;
  gone.travel = travel.select(places_of(leave_R));
  rows = std::make_shared<const Rows>(rows->select(stay_R));
  travel = travel.select(places_of(stay_R));
  return gone;
}

Tensor y_or_zeros(const Tensor& y_RC, const Tensor& like_RC) {
  return y_RC.defined() ? y_RC : filled_like(like_RC, 0);
}

}  // namespace fathom
