// Where a walk is: a value, from which it goes on.
//
// R rows, C channels.
#pragma once

#include <memory>
#include <vector>

#include "fathom/model/walk/carry.h"
#include "fathom/model/walk/rows.h"
#include "fathom/ops/few_rows.h"

namespace fathom {

// A place in a program: before item `part` of a step's door, before its block (kBlock), or before
// the end of its part - kEnds innermost loop.
struct Place {
  static constexpr int kBlock = 1 << 16, kEnds = 1 << 17;
  size_t step = 0;
  int part = 0;

  bool operator==(const Place& o) const { return step == o.step && part == o.part; }
};

// What a loop's rule knows of its rows, M numbers each, or the walk's of their last readout; as
// much of it as the rule needs. No gradients; rows of NaN: there was no iteration before.
struct LoopMemory {
  Tensor input_RC;  // u_k, what the loop's input gave in this iteration
  Tensor state_RC;  // x_k, or the last change s_{k-1}
  // Of the iteration before, float64: a score's part, a token and its age, or the head that read.
  Tensor past_RM;

  template <class F>
  LoopMemory map(const F& f) const {
    const auto optional = [&](const Tensor& t) { return t.defined() ? f(t) : Tensor(); };
    return {optional(input_RC), optional(state_RC), optional(past_RM)};
  }
  // What `before` says of the rows that are true, this of the others.
  LoopMemory kept_of(const Tensor& rows_R, const LoopMemory& before) const;
};

// A loop that is open. Masks are of the rows that are in the walk though they are not in the loop:
// all such rows of a dense walk, of a skipping one those whose keys are needed. Undefined: none.
struct LoopFrame {
  int group = 0;
  Tensor outside_R;             // bool: has not entered
  Tensor left_R;                // bool: has halted, and goes on after the loop
  Tensor kept_r_RC, kept_y_RC;  // what such a row will go on with
  LoopMemory memory;
};

// What rows take with them from place to place.
struct Travel {
  Carry carry;
  std::vector<LoopFrame> loops;  // one for each x0 of the carry
  Tensor done_R;        // bool: has halted at a readout, its answer is settled; undefined: none
  Tensor hidden_R;      // bool: nobody sees its keys since then; undefined: none
  LoopMemory readings;  // what the walk's rule remembers
  // r and y at the step's door, of rows that came in later as they came: what those keep that stand
  // still.
  Tensor door_r_RC, door_y_RC;

  // f applied to each tensor.
  template <class F>
  Travel map(const F& f) const {
    const auto optional = [&](const Tensor& t) { return t.defined() ? f(t) : Tensor(); };
    Travel out;
    out.carry = carry.map(f);
    for (const LoopFrame& l : loops)
      out.loops.push_back({l.group, optional(l.outside_R), optional(l.left_R),
                           optional(l.kept_r_RC), optional(l.kept_y_RC), l.memory.map(f)});
    out.done_R = optional(done_R);
    out.hidden_R = optional(hidden_R);
    out.readings = readings.map(f);
    out.door_r_RC = optional(door_r_RC);
    out.door_y_RC = optional(door_y_RC);
    return out;
  }
  // The rows with these indices.
  Travel select(const Tensor& rows) const {
    return map([&](const Tensor& t) { return take_rows(t, rows); });
  }
};

// Rows that are not in the walk until a place.
struct WaitingRows {
  Place until;
  std::shared_ptr<const Rows> rows;
  Travel travel;
  // They go on only when a later row of their sequence, that has not halted, comes by.
  bool on_demand = false;
};

struct WalkState {
  Place next;
  std::shared_ptr<const Rows> rows;
  Travel travel;
  std::vector<WaitingRows> waiting;

  // Rows come in: in the order of sequences and positions.
  void join(const Rows& others, const Travel& travel);
  // The rows that are true go on, the others are returned.
  WaitingRows split(const Tensor& stay_R);
};

// y may be undefined where it is zero.
Tensor y_or_zeros(const Tensor& y_RC, const Tensor& like_RC);

}  // namespace fathom
