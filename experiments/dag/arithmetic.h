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

// Of the linear domain kClamp holds |v| to e^log_limit, and kTanh is kNone.
struct ArithmeticOptions {
  Clip clip = Clip::kClamp;
  double log_limit = 60;  // of kClamp, to which |l| is held, and of kTanh: limit * tanh(l / limit)
};

// What happened, over all elements: for the log of a run, without a graph.
struct ArithmeticCounts {
  int64_t results = 0;
  int64_t clamped = 0;          // beyond kClamp's limit, or beyond what power and log are held to
  int64_t cancelled = 0;        // sums of two numbers, neither of them 0, that are 0
  int64_t divided_by_zero = 0;  // and 0 to a negative power
  int64_t nonfinite = 0;        // results with a part that is not finite
  ArithmeticCounts& operator+=(const ArithmeticCounts& other);
};

// x and y of one domain; computed in single precision at least. `counts` may be null: counting
// waits for the device.
//   add       one of them 0: the other one; both: (0, 0)
//             signs alike: (1 or -1, logaddexp), no gradient to the signs
//             unlike: s of the larger l, l + ln(-expm1(-d)), d = |lx - ly|: exact however small d
//             is; d = 0: (0, 0), no gradients
//   subtract  x + (-y)
//   multiply  (sx sy, lx + ly)
//   divide    (sx sy, lx - ly); by zero (0, lx), a finite fallback, and counted. Linear: by zero 0,
//             divisors smaller than 1e-8 are 1e-8 with their sign
//   identity  x, the only one that is not clipped
//   max, min  one of them, by its sign (-1, 0 or 1) and then by its size; of two alike their mean
//   power     (sx, e lx), e = v(y) held to +-kMostExponent, lx to ln kMostBase; of 0: 0. Linear:
//             bases smaller than 1e-8 are 1e-8 with their sign, and |e ln|x|| is held to what
//             single (60) or double precision (600) carries
//   log       v = lx as a number, held to +-kMostLog; of 0: -kMostLog. No gradient to the sign
// Gradients are finite everywhere: at ties, at zeros and at the limits.
Numbers apply(Operation operation, const Numbers& x, const Numbers& y,
              const ArithmeticOptions& options, ArithmeticCounts* counts);

}  // namespace fathom::dag
