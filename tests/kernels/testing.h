// What the kernels' tests share.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "fathom/base/random.h"
#include "fathom/kernels/isa.h"

namespace fathom {

// An instruction set for as long as it lives.
class ChosenIsa {
 public:
  explicit ChosenIsa(Isa isa) : before_(chosen_isa()) { choose_isa(isa); }
  ~ChosenIsa() { choose_isa(before_); }
  ChosenIsa(const ChosenIsa&) = delete;
  ChosenIsa& operator=(const ChosenIsa&) = delete;

 private:
  Isa before_;
};

inline std::string name_of_isa(const ::testing::TestParamInfo<Isa>& info) {
  return isa_name(info.param);
}

// Standard normal numbers.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : stream_(seed, "test") {}
  std::vector<float> draw(int64_t count) {
    std::vector<float> out;
    for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<float>(stream_.normal(next_++)));
    return out;
  }

 private:
  RandomStream stream_;
  uint64_t next_ = 0;
};

// The largest difference, in units of the largest number that was expected.
template <class T, class U>
double distance(const std::vector<T>& actual, const std::vector<U>& expected) {
  if (actual.size() != expected.size()) return INFINITY;
  double largest = 1e-30, difference = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double d = std::fabs(double{actual[i]} - double{expected[i]});
    if (!(d < INFINITY)) return INFINITY;
    difference = std::max(difference, d);
    largest = std::max(largest, std::fabs(double{expected[i]}));
  }
  return difference / largest;
}

}  // namespace fathom
