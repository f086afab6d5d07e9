// What enters the residual stream at a door.
#pragma once

#include "fathom/model/spec/depth_program.h"
#include "fathom/model/walk/carry.h"
#include "fathom/model/walk/params.h"
#include "fathom/model/walk/random_field.h"

namespace fathom {

// Where an injection happens.
struct DoorSite {
  int64_t width = 0;               // of the step, or of the stem
  const StepSpec* step = nullptr;  // null: the stem
  int number = 0;                  // of the injection in its door
  bool training = false;
  // Of each row, int64: the iteration that it has by its own count, in a loop that sequences enter
  // late; undefined: the injection's.
  Tensor iteration_R = {};
};

// The carry after one injection, width in as it is and out as it becomes. The stream is undefined
// before the stem's first.
//   gate            g = sigmoid(gate(r)), (R, 1), of r as it is when the gate's turn comes
//   widen           zeros are appended to r (and y)
//   token table     r + E[token] or r * E[token], or g * E[token] + (1 - g) * r after a gate
//   position table  r + P[position] or r * P[position]
//   scale           amount * r
//   norm            norm(r)
//   noise           r + amount * N(0, 1)
//   open loop       x0 = r from here until the loop closes; r is the loop's first state: noise,
//   else
//                   x0 for an adapter, else 0
//   loop input      x0 + r, or A [x0; r]
//   loop signal     r + s[k] or s[k] * r, at iteration k of the loop
// `gate_R1`: of the last gate that no table has used yet, undefined: none. It goes from an
// injection of a door to the next, and its rows are the carry's.
Carry inject(const Injection& injection, const DoorSite& site, const Params& params,
             const Rows& rows, Carry carry, Tensor& gate_R1, const RandomField& random,
             const BlockSettings& settings);

// The carry after all injections of the stem's door, in their order.
Carry inject(const StemSpec& stem, const Params& params, const Rows& rows,
             const RandomField& random, const BlockSettings& settings);

void bind(const Injection& spec, const PartPlace& place, NamedTensors& tensors, Params& params);

}  // namespace fathom
