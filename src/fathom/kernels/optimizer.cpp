#include "fathom/kernels/optimizer.h"

#include <algorithm>
#include <vector>

#include "fathom/kernels/kernel_table.h"
#include "fathom/kernels/threads.h"

namespace fathom {
namespace {

constexpr int64_t kPart = 1 << 14;  // numbers of a unit; a sum's bits follow from it
constexpr int64_t kSmall = 4 * kPart;

int64_t parts(int64_t count) {
  return (count + kPart - 1) / kPart;
}

}  // namespace

double sum_of_squares(const float* x, int64_t count) {
  std::vector<double> sums(static_cast<size_t>(parts(count)));
  for_each_unit(parts(count), count < kSmall, [&](int64_t i) {
    sums[static_cast<size_t>(i)] =
        kernels().sum_of_squares(x + i * kPart, std::min(kPart, count - i * kPart));
  });
  double sum = 0;
  for (const double s : sums) sum += s;
  return sum;
}

void adamw(const AdamWStep& step, float* w, const float* g, float* m, float* v, int64_t count) {
  for_each_unit(parts(count), count < kSmall, [&](int64_t i) {
    const int64_t at = i * kPart;
    kernels().adamw(step, w + at, g + at, m + at, v + at, std::min(kPart, count - at));
  });
}

}  // namespace fathom
