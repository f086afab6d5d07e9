#include "fathom/kernels/simd/functions.h"
#include "fathom/kernels/simd/vector.h"

namespace fathom {
namespace FATHOM_ISA {
namespace {

constexpr int kBlocks = 16;  // of four draws each, computed side by side

// Blocks first, first + 1, ... of base/random.h's philox, each draw's in a row of its own.
void philox_blocks(uint64_t key, uint64_t first, uint64_t counter_high, uint32_t (&c)[4][kBlocks]) {
  uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
  for (int i = 0; i < kBlocks; ++i) {
    const uint64_t low = first + uint64_t(i);
    c[0][i] = uint32_t(low);
    c[1][i] = uint32_t(low >> 32);
    c[2][i] = uint32_t(counter_high);
    c[3][i] = uint32_t(counter_high >> 32);
  }
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < kBlocks; ++i) {
      const uint64_t p0 = uint64_t{0xD2511F53} * c[0][i];
      const uint64_t p1 = uint64_t{0xCD9E8D57} * c[2][i];
      c[0][i] = uint32_t(p1 >> 32) ^ c[1][i] ^ k0;
      c[1][i] = uint32_t(p1);
      c[2][i] = uint32_t(p0 >> 32) ^ c[3][i] ^ k1;
      c[3][i] = uint32_t(p0);
    }
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
}

}  // namespace

// out = x times the multipliers; x null: those themselves.
void dropout(const float* x, float* out, int64_t count, double p, uint64_t seed, uint64_t stream,
             uint64_t first) {
  const auto keep = float(1.0 / (1.0 - p));
  // Dropped when the 32-bit draw is below p * 2^32.
  const auto threshold = uint64_t(p * 4294967296.0);
  uint64_t block = first / 4;
  for (int64_t i = -int64_t(first % 4); i < count; i += 4 * kBlocks, block += kBlocks) {
    uint32_t draws[4][kBlocks];
    philox_blocks(seed, block, stream, draws);
    float multipliers[4 * kBlocks];
    for (int b = 0; b < kBlocks; ++b)
      for (int lane = 0; lane < 4; ++lane)
        multipliers[4 * b + lane] = draws[lane][b] < threshold ? 0.0f : keep;
    const int64_t from = i < 0 ? -i : 0;
    const int64_t end = count - i < 4 * kBlocks ? count - i : 4 * kBlocks;
    if (end <= from) continue;
    if (x == nullptr)
      std::memcpy(out + i + from, multipliers + from, size_t(end - from) * sizeof(float));
    else
      for (int64_t j = from; j < end; ++j) out[i + j] = x[i + j] * multipliers[j];
  }
}

}  // namespace FATHOM_ISA
}  // namespace fathom
