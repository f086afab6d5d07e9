// Two sets of runs by one number each: their difference, how sure it is, and what could have been
// found. Torch-free, and without any knowledge of runs.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace fathom {

// Of finite values. `sd` divides by n - 1; 0 for one value.
struct Summary {
  size_t n = 0;
  double mean = 0, sd = 0;
};
Summary summary_of(const std::vector<double>& values);

enum class TestKind {
  kNone,
  kWelch,   // of two means with spreads of their own
  kPaired,  // of the mean of the differences within pairs
};
const char* test_name(TestKind test);  // "-", "Welch", "paired"

// Of `b` minus `a`. Where there is no test, `why_none` says why and the numbers below it are NaN.
struct Difference {
  TestKind test = TestKind::kNone;
  std::string why_none;
  double difference = 0;
  double low = 0, high = 0;  // interval of the given confidence
  double t = 0, df = 0, p = 0;
  double standard_error = 0;
};
// The least true difference that as many runs with as much spread would show with probability 0.8;
// NaN without a test.
double detectable(const Difference& difference, double confidence);

// Welch's test, with the degrees of freedom of Welch and Satterthwaite. Two values a side at least.
// With few values of equal spread it errs on the safe side: for three against three, 3.5 false
// positives in 100 where 5 are allowed.
Difference welch(const std::vector<double>& a, const std::vector<double>& b, double confidence);
// a[i] and b[i] are a pair; two pairs at least. Exact for normal differences.
Difference paired(const std::vector<double>& a, const std::vector<double>& b, double confidence);

// The p of several tests, each raised so far that all of them together err as seldom as one would
// (Holm): p is below alpha for what Holm's procedure calls found. NaN is no test and stays.
std::vector<double> holm(const std::vector<double>& p);

}  // namespace fathom
