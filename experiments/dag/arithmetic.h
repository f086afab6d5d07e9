// Arithmetic over tensors of numbers, differentiable, elementwise over equal shapes.
//
// A real number v is (s, l): v = s * exp(l), s in [-1, 1]; zero is s = 0 (spec: the sign/log
// domain). In the linear domain it is itself.
#pragma once

#include <cstdint>

#include "experiments/dag/settings.h"
#include "fathom/ops/tensor.h"

namespace fathom::dag {

// Either `real`, or `sign` and `log`.
struct Numbers {
  Tensor real;
  Tensor sign, log;

  bool is_linear() const { return real.defined(); }
  Tensor value() const;  // real, or sign * exp(log)
};

struct ArithmeticOptions {
  Clip clip = Clip::kClamp;
  double log_limit = 60;  // of kClamp, to which |l| is held, and of kTanh: limit * tanh(l / limit)
};

// What happened, over all elements: for the log of a run, without a graph.
struct ArithmeticCounts {
  int64_t results = 0, clamped = 0, cancelled = 0, divided_by_zero = 0, nonfinite = 0;
  ArithmeticCounts& operator+=(const ArithmeticCounts& other);
};

// x and y of one domain. `counts` may be null: counting waits for the device.
//   add, signs alike  (sign, logaddexp);  unlike: l of the larger + log1p(-exp(-d)), s of the
//   larger,
//     d = the distance of the logs; where d is small exactly as ln((e^d - 1) ...) = expm1 gives it,
//     without a floor; equal logs are 0: s = 0 with gradients of 0
//   divide by zero    counted, and (s, l) = (0, lx): a finite fallback
// Gradients are finite everywhere: at ties, at zeros and at the limits.
Numbers apply(Operation operation, const Numbers& x, const Numbers& y,
              const ArithmeticOptions& options, ArithmeticCounts* counts);

// Of the notebook, for its published examples: delta clamped to [-10, -1e-3] and the soft clip.
Numbers notebook_apply(Operation operation, const Numbers& x, const Numbers& y, double limit = 10);

}  // namespace fathom::dag
