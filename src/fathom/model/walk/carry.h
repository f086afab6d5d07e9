// What goes from one step of a walk to the next.
#pragma once

#include <vector>

#include "fathom/ops/few_rows.h"
#include "fathom/ops/tensor.h"

namespace fathom {

// R rows, C channels. The norm of r is not carried: who reads it computes it.
struct Carry {
  Tensor r_RC;                // the raw residual stream
  Tensor y_RC;                // what the previous block added; undefined: zero, or nobody reads it
  std::vector<Tensor> x0_RC;  // the stream at the door of each loop that is open, outermost first

  // f applied to each tensor.
  template <class F>
  Carry map(const F& f) const {
    Carry out;
    if (r_RC.defined()) out.r_RC = f(r_RC);
    if (y_RC.defined()) out.y_RC = f(y_RC);
    for (const Tensor& x : x0_RC) out.x0_RC.push_back(f(x));
    return out;
  }
  Carry detached() const {
    return map([](const Tensor& t) { return t.detach(); });
  }
  // The rows with these indices.
  Carry select(const Tensor& rows) const {
    return map([&](const Tensor& t) { return take_rows(t, rows); });
  }
};

}  // namespace fathom
