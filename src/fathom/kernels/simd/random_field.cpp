#include "fathom/kernels/simd/functions.h"
#include "fathom/kernels/simd/vector.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace fathom {
namespace FATHOM_ISA {
namespace {

typedef uint64_t Wide __attribute__((vector_size(FATHOM_LANES * 4)));
typedef uint32_t Draws __attribute__((vector_size(FATHOM_LANES * 4)));

constexpr int kBlocks = kLanes / 2;  // of four draws each, one in a lane of Wide

// The lower halves' products.
[[gnu::always_inline]] inline Wide multiply(Wide a, uint32_t b) {
  const Wide factor = Wide{} + b;
#if defined(__AVX512F__)
  // Masked, with all lanes: for the other form GCC 12 warns of a variable of its own header.
  return reinterpret_cast<Wide>(_mm512_maskz_mul_epu32(0xFF, reinterpret_cast<__m512i>(a),
                                                       reinterpret_cast<__m512i>(factor)));
#elif defined(__AVX2__)
  return reinterpret_cast<Wide>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(factor)));
#elif defined(__SSE2__)
  return reinterpret_cast<Wide>(
      _mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(factor)));
#else
  return (a & 0xFFFFFFFF) * factor;
#endif
}

// Blocks first, first + 1, ... of base/random.h's philox: of each the draws 0 and 1 in a lane of
// `low`, 2 and 3 in one of `high`. c0 to c3 count in their lower halves; what comes into the upper
// ones is never read.
[[gnu::always_inline]] inline void philox_blocks(uint64_t key, uint64_t first,
                                                 uint64_t counter_high, Wide& low, Wide& high) {
  uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
  Wide c0;
  for (int i = 0; i < kBlocks; ++i) c0[i] = first + uint64_t(i);
  Wide c1 = c0 >> 32, c2 = Wide{} + counter_high, c3 = c2 >> 32;
  for (int round = 0; round < 10; ++round) {
    const Wide p0 = multiply(c0, 0xD2511F53), p1 = multiply(c2, 0xCD9E8D57);
    c0 = (p1 >> 32) ^ c1 ^ k0;
    c1 = p1;
    c2 = (p0 >> 32) ^ c3 ^ k1;
    c3 = p0;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  low = (c0 & 0xFFFFFFFF) | (c1 << 32);
  high = (c2 & 0xFFFFFFFF) | (c3 << 32);
}

}  // namespace

// out = x times the multipliers; x null: those themselves.
void dropout(const float* x, float* out, int64_t count, double p, uint64_t seed, uint64_t stream,
             uint64_t first) {
  const auto keep = float(1.0 / (1.0 - p));
  // Dropped when the 32-bit draw is below p * 2^32.
  const Draws threshold = Draws{} + uint32_t(p * 4294967296.0);
  const auto multipliers_of = [&](Wide draws) {
    return reinterpret_cast<Draws>(draws) < threshold ? broadcast(0) : broadcast(keep);
  };
  constexpr int kAtOnce = 4;  // a block's rounds are one chain
  constexpr int64_t kDraws = int64_t{kAtOnce} * 4 * kBlocks;
  uint64_t block = first / 4;
  for (int64_t i = -int64_t(first % 4); i < count; i += kDraws) {
    Wide draws[kAtOnce][2];
#pragma GCC unroll 4
    for (auto& d : draws) {
      philox_blocks(seed, block, stream, d[0], d[1]);
      block += kBlocks;
    }
    float multipliers[kDraws];
    for (int n = 0; n < kAtOnce; ++n) {
      float low[kLanes], high[kLanes];
      store(low, multipliers_of(draws[n][0]));
      store(high, multipliers_of(draws[n][1]));
      float* to = multipliers + n * 2 * kLanes;
      for (int lane = 0; lane < kLanes; lane += 2, to += 4) {
        std::memcpy(to, low + lane, 2 * sizeof(float));
        std::memcpy(to + 2, high + lane, 2 * sizeof(float));
      }
    }
    const int64_t from = i < 0 ? -i : 0;
    const int64_t end = count - i < kDraws ? count - i : kDraws;
    if (end <= from) continue;
    if (x == nullptr) {
      std::memcpy(out + (i + from), multipliers + from, size_t(end - from) * sizeof(float));
      continue;
    }
    for (int64_t j = from; j < end; j += kLanes)
      store_part(out + (i + j),
                 load_part(x + (i + j), end - j) * load_part(multipliers + j, end - j), end - j);
  }
}

}  // namespace FATHOM_ISA
}  // namespace fathom
