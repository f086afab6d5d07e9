// An order of n things as a pure function of a key: where number i goes is known without the
// others.
#pragma once

#include <cstdint>
#include <string_view>

#include "fathom/base/random.h"

namespace fathom {

// A balanced Feistel network of eight rounds over the smallest even number of bits that holds n
// (Luby and Rackoff 1988), walked along its cycle until the result is below n (Black and Rogaway
// 2002). At most four steps on average.
class Permutation {
 public:
  // n: 1 to 2^62. Another `number` of the same name is another order.
  Permutation(uint64_t n, uint64_t seed, std::string_view name, uint64_t number = 0);
  uint64_t size() const { return n_; }
  uint64_t operator[](uint64_t i) const;  // i < n

 private:
  uint64_t once(uint64_t i) const;

  uint64_t n_;
  int half_bits_ = 1;
  uint64_t seed_, name_, number_;
};

}  // namespace fathom
