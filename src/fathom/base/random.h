// Counter-based random numbers: a pure function of (key, counter), so a value never depends on what
// was drawn before it, on the thread that draws it, or on where a run was interrupted.
// Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace fathom {

using PhiloxBlock = std::array<uint32_t, 4>;

inline PhiloxBlock philox(uint64_t key, uint64_t counter_low, uint64_t counter_high) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  PhiloxBlock c = {static_cast<uint32_t>(counter_low), static_cast<uint32_t>(counter_low >> 32),
                   static_cast<uint32_t>(counter_high), static_cast<uint32_t>(counter_high >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c;
}

// FNV-1a, 64 bits: turns a stream's name ("init/head.0.weight") into a number.
inline uint64_t name_hash(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

// Value number `index` of the stream `name` of a run's seed. Streams are independent: adding one
// changes no other.
class RandomStream {
 public:
  RandomStream(uint64_t seed, std::string_view name) : RandomStream(seed, name_hash(name)) {}
  RandomStream(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}

  uint64_t bits(uint64_t index) const {
    const PhiloxBlock b = philox(seed_, index, stream_);
    return b[0] | uint64_t{b[1]} << 32;
  }
  // Uniform in [0, 1) with 53 random bits.
  double uniform(uint64_t index) const {
    return static_cast<double>(bits(index) >> 11) * 0x1.0p-53;
  }
  // Uniform in [0, n); n >= 1. Multiply-shift: the bias is below n / 2^64.
  uint64_t below(uint64_t index, uint64_t n) const {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(bits(index)) * n) >> 64);
  }
  // Standard normal by Box and Muller from one block's two 64-bit halves.
  double normal(uint64_t index) const {
    const PhiloxBlock b = philox(seed_, index, stream_);
    const double u1 = (static_cast<double>((b[0] | uint64_t{b[1]} << 32) >> 11) + 1.0) * 0x1.0p-53;
    const double u2 = static_cast<double>((b[2] | uint64_t{b[3]} << 32) >> 11) * 0x1.0p-53;
    return std::sqrt(-2.0 * std::log(u1)) * std::cos(6.283185307179586 * u2);
  }

 private:
  uint64_t seed_;
  uint64_t stream_;
};

}  // namespace fathom
