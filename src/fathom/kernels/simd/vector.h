// Vectors of floats as wide as the instruction set that a file is compiled for, in the compiler's
// own vector types. Internal to kernels/simd; everything is static, so that no code compiled for
// one set can be linked in place of another's.
#pragma once

#include <cstdint>
#include <cstring>

// For what vector types do not have: loads and stores of a part, and fused multiply-adds that are
// one wherever they stand. (Compilers make them of a * b + c when they see fit, and so a row's bits
// would depend on the loop it is computed in; kernels are compiled with that turned off.)
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define FATHOM_LANES 16
#elif defined(__AVX2__)
#define FATHOM_LANES 8
#else
#define FATHOM_LANES 4
#endif

namespace fathom {
namespace FATHOM_ISA {

constexpr int kLanes = FATHOM_LANES;

typedef float Vec __attribute__((vector_size(FATHOM_LANES * 4)));
typedef int32_t IntVec __attribute__((vector_size(FATHOM_LANES * 4)));
typedef float LooseVec __attribute__((vector_size(FATHOM_LANES * 4), aligned(4), may_alias));

[[gnu::always_inline]] static inline Vec load(const float* p) {
  return *reinterpret_cast<const LooseVec*>(p);
}

[[gnu::always_inline]] static inline void store(float* p, Vec v) {
  *reinterpret_cast<LooseVec*>(p) = v;
}

// The first n lanes, n >= 0; the others are zero. Memory beyond them is not touched.
[[gnu::always_inline]] static inline Vec load_part(const float* p, int64_t n) {
  if (n >= kLanes) return load(p);
#if defined(__AVX512F__)
  return reinterpret_cast<Vec>(_mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), p));
#else
  Vec v = {};
  for (int i = 0; i < kLanes; ++i)
    if (i < n) v[i] = p[i];
  return v;
#endif
}

// The first n < kLanes lanes of v, the rest of `rest`.
[[gnu::always_inline]] static inline Vec first_lanes(Vec v, int64_t n, Vec rest) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vec>(_mm512_mask_blend_ps(__mmask16((1u << n) - 1), rest, v));
#else
  for (int i = 0; i < kLanes; ++i)
    if (i < n) rest[i] = v[i];
  return rest;
#endif
}

[[gnu::always_inline]] static inline void store_part(float* p, Vec v, int64_t n) {
  if (n >= kLanes) return store(p, v);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), reinterpret_cast<__m512>(v));
#else
  for (int i = 0; i < kLanes; ++i)
    if (i < n) p[i] = v[i];
#endif
}

[[gnu::always_inline]] static inline Vec broadcast(float x) {
#if FATHOM_LANES == 16  // written out, compilers see one instruction
  return Vec{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#elif FATHOM_LANES == 8
  return Vec{x, x, x, x, x, x, x, x};
#else
  return Vec{x, x, x, x};
#endif
}

// a * b + c, rounded once where the instruction set has FMA.
[[gnu::always_inline]] static inline Vec fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vec>(_mm512_fmadd_ps(
      reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
#elif defined(__AVX2__)
  return reinterpret_cast<Vec>(_mm256_fmadd_ps(
      reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
#else
  return a * b + c;
#endif
}

[[gnu::always_inline]] static inline Vec fma(Vec a, Vec b, float c) {
  return fma(a, b, broadcast(c));
}

// Lanes that are not numbers lose against the other argument's.
[[gnu::always_inline]] static inline Vec larger(Vec a, Vec b) {
  return a > b ? a : b;
}

// f of the lower and the upper half of the lanes, then of the halves of that, and so on:
// an order that depends on nothing but the width.
template <class F>
[[gnu::always_inline]] static inline float fold_lanes(Vec v, const F& f) {
#pragma GCC unroll 4
  for (int half = kLanes / 2; half > 0; half /= 2) {
#if defined(__clang__)
    Vec upper = v;
    for (int i = 0; i < half; ++i) upper[i] = v[i + half];
#else
    // In memory: as constants GCC 12 puts them together number by number.
    static const int32_t kNumbers[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                       12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};
    IntVec lanes;
    std::memcpy(&lanes, kNumbers + half, sizeof(lanes));
    const Vec upper = __builtin_shuffle(v, lanes);  // lane numbers count modulo kLanes
#endif
    v = f(v, upper);
  }
  return v[0];
}

static inline float sum_lanes(Vec v) {
  return fold_lanes(v, [](Vec a, Vec b) { return a + b; });
}

static inline float largest_lane(Vec v) {
  return fold_lanes(v, [](Vec a, Vec b) { return a > b ? a : b; });
}

// e^x to 2 units in the last place; 0 below -87.3, where e^x is no normal number; infinity above
// 88.7. x = n ln 2 + r with |r| <= ln 2 / 2, the Taylor series of e^r, and n added to the exponent.
[[gnu::always_inline]] static inline Vec exp(Vec x) {
  const float kLowest = -87.3f, kHighest = 88.7f;
  const IntVec too_low = x<kLowest, too_high = x> kHighest;
  x = too_low ? broadcast(kLowest) : x;
  x = too_high ? broadcast(kHighest) : x;
  // Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits.
  const float kRound = 12582912.0f;
  const Vec shifted = fma(x, broadcast(1.44269504f), kRound);
  const Vec n = shifted - kRound;
  // ln 2 in two parts, the first of so few bits that n times it is exact.
  Vec r = fma(n, broadcast(-0.693359375f), x);
  r = fma(n, broadcast(2.12194440e-4f), r);
  Vec p = broadcast(1.0f / 5040);
  p = fma(p, r, 1.0f / 720);
  p = fma(p, r, 1.0f / 120);
  p = fma(p, r, 1.0f / 24);
  p = fma(p, r, 1.0f / 6);
  p = fma(p, r, 0.5f);
  p = fma(p, r, 1.0f);
  p = fma(p, r, 1.0f);
  // n is at most 128, one more than an exponent can be: two factors.
  const IntVec whole = reinterpret_cast<IntVec>(shifted) - 0x4B400000;
  const IntVec half = whole >> 1;
  p = p * reinterpret_cast<Vec>((half + 127) << 23);
  p = p * reinterpret_cast<Vec>((whole - half + 127) << 23);
  p = too_low ? broadcast(0.0f) : p;
  return too_high ? broadcast(__builtin_inff()) : p;
}

}  // namespace FATHOM_ISA
}  // namespace fathom
