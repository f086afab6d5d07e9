// GELU and SiLU (Hendrycks and Gimpel 2016) and their derivatives. Internal to kernels/simd.
#pragma once

#include "fathom/kernels/simd/vector.h"

namespace fathom {
namespace FATHOM_ISA {

struct Gelu {
  Vec value, derivative;
};

// x P(X < x) for a standard normal X. With t = 1 / (1 + 0.3 z) the tail P(X > z), z >= 0, is
// e^(-z^2 / 2) t p(t); p is a Chebyshev fit, of relative error 2.2e-7.
[[gnu::always_inline]] static inline Gelu gelu_exact(Vec x) {
  const IntVec negative = x < 0.0f;
  const Vec z = negative ? -x : x;
  const Vec t = 1.0f / fma(z, broadcast(0.3f), 1.0f);
  Vec p = broadcast(-0.0154982982f);
  p = fma(p, t, 0.08638303017f);
  p = fma(p, t, -0.1716892405f);
  p = fma(p, t, 0.1234723243f);
  p = fma(p, t, -0.02908018419f);
  p = fma(p, t, 0.07287454399f);
  p = fma(p, t, 0.08508987467f);
  p = fma(p, t, 0.1090878874f);
  p = fma(p, t, 0.1196773579f);
  p = fma(p, t, 0.1196827107f);
  const Vec e = exp(x * x * -0.5f);
  const Vec tail = e * t * p;
  const Vec below = negative ? tail : 1.0f - tail;  // P(X < x)
  return {x * below, fma(x * e, broadcast(0.3989422804f), below)};
}

// 0.5 x (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3); that is x s(2u), s the logistic
// function.
[[gnu::always_inline]] static inline Gelu gelu_tanh(Vec x) {
  const float kTwoRoot = 1.5957691216f, kCubic = 0.044715f;
  const Vec squared = x * x;
  const Vec u2 = kTwoRoot * x * (kCubic * squared + 1.0f);
  const Vec s = 1.0f / (exp(-u2) + 1.0f);
  const Vec slope = kTwoRoot * (3 * kCubic * squared + 1.0f);
  return {x * s, s + x * s * (1.0f - s) * slope};
}

[[gnu::always_inline]] static inline Gelu silu(Vec x) {
  const Vec s = 1.0f / (exp(-x) + 1.0f);
  return {x * s, s + x * s * (1.0f - s)};
}

}  // namespace FATHOM_ISA
}  // namespace fathom
