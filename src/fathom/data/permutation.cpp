#include "fathom/data/permutation.h"

#include <utility>

namespace fathom {

Permutation::Permutation(uint64_t n, uint64_t seed, std::string_view name, uint64_t number)
    : n_(n), seed_(seed), name_(name_hash(name)), number_(number) {
  while (uint64_t{1} << (2 * half_bits_) < n) ++half_bits_;
}

uint64_t Permutation::operator[](uint64_t i) const {
  do i = once(i);
  while (i >= n_);
  return i;
}

uint64_t Permutation::once(uint64_t i) const {
  constexpr uint64_t kRounds = 8;
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = i >> half_bits_, right = i & mask;
  for (uint64_t round = 0; round < kRounds; ++round) {
    // The number shares a word with the round, the halves are below 2^31.
    const PhiloxBlock block = philox(seed_ ^ name_, right, number_ * kRounds + round);
    const uint64_t bits = block[0] | uint64_t{block[1]} << 32;
    left = std::exchange(right, left ^ (bits & mask));
  }
  return left << half_bits_ | right;
}

}  // namespace fathom
