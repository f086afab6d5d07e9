// What the tests of numbers share: programs drawn at random.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "errors.h"
#include "fathom/base/random.h"
#include "fathom/data/numbers/english.h"

namespace fathom::testing {

// The numbers of a stream, one after another.
class Draws {
 public:
  explicit Draws(uint64_t seed) : stream_(seed, "tests of numbers") {}
  double operator()() { return stream_.uniform(next_++); }
  int64_t below(int64_t n) {
    return static_cast<int64_t>(stream_.below(next_++, static_cast<uint64_t>(n)));
  }

 private:
  RandomStream stream_;
  uint64_t next_ = 0;
};

// From -9999.99999 to 9999.99999, never 0.
inline Decimal random_decimal(Draws& draws) {
  Decimal decimal;
  decimal.decimals = static_cast<int>(draws.below(6));
  const int64_t largest[] = {9, 99, 999'999, 999'999'999};
  decimal.units = 1 + draws.below(largest[draws.below(4)]);
  if (draws() < 0.5) decimal.units = -decimal.units;
  return decimal;
}

// Identities, where there are some, are executed first, over zeros on top.
inline NumberProgram random_program(Draws& draws, size_t depth, size_t real) {
  NumberProgram program;
  program.operations.assign(depth - real, Operation::kIdentity);
  while (program.operations.size() < depth)
    program.operations.push_back(kOperations[static_cast<size_t>(draws.below(4))]);
  while (program.values.size() <= real) program.values.push_back(random_decimal(draws));
  program.values.resize(depth + 1);
  return program;
}

// A program's value by its definition, from the outside in: the first value is joined by the last
// operation with what the rest is.
inline double independent_value(const NumberProgram& program, size_t first = 0) {
  const double x = std::strtod(to_text(program.values[first]).c_str(), nullptr);
  if (first == program.depth()) return x;
  const double y = independent_value(program, first + 1);
  const std::string name = to_text(program.operations[program.depth() - 1 - first]);
  return name == "add"        ? x + y
         : name == "subtract" ? x - y
         : name == "multiply" ? x * y
         : name == "divide"   ? x / y
                              : x;
}

}  // namespace fathom::testing
