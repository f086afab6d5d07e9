#include "fathom/kernels/norm.h"

#include <algorithm>
#include <vector>

#include "fathom/kernels/kernel_table.h"
#include "fathom/kernels/threads.h"

namespace fathom {
namespace {

constexpr int64_t kSmall = 1 << 15;  // numbers that are not worth a second thread
// Of a unit. Sums over rows are made of the units' sums, so their bits follow from this number.
constexpr int64_t kRows = 64;

NormProblem part(const NormProblem& p, int64_t row, int64_t rows) {
  NormProblem part = p;
  part.x += row * p.columns;
  part.rows = rows;
  return part;
}

// f(first row, rows, sums of this unit) for all units; then the sums of the sums.
template <class F>
void by_rows(int64_t rows, int64_t columns, int64_t width, float* sums, const F& f) {
  const int64_t units = (rows + kRows - 1) / kRows;
  std::vector<float> partial(static_cast<size_t>(units * width), 0.0f);
  for_each_unit(units, rows * columns < kSmall, [&](int64_t unit) {
    f(unit * kRows, std::min(kRows, rows - unit * kRows), partial.data() + unit * width);
  });
  std::fill_n(sums, width, 0.0f);
  kernels().add_rows(partial.data(), units, width, sums);
}

}  // namespace

void norm_forward(const NormProblem& p, float* y, float* mean, float* scale) {
  const KernelTable& t = kernels();
  for_each_unit((p.rows + kRows - 1) / kRows, p.rows * p.columns < kSmall, [&](int64_t unit) {
    const int64_t row = unit * kRows;
    t.norm_forward(part(p, row, std::min(kRows, p.rows - row)), y + row * p.columns,
                   mean == nullptr ? nullptr : mean + row,
                   scale == nullptr ? nullptr : scale + row);
  });
}

void norm_backward(const NormProblem& p, const float* mean, const float* scale, const float* d_y,
                   float* d_x, float* d_weight, float* d_bias) {
  const KernelTable& t = kernels();
  const int64_t C = p.columns;
  std::vector<float> sums(static_cast<size_t>(2 * C));
  by_rows(p.rows, C, 2 * C, sums.data(), [&](int64_t row, int64_t rows, float* partial) {
    t.norm_backward(part(p, row, rows), mean + row, scale + row, d_y + row * C,
                    d_x == nullptr ? nullptr : d_x + row * C, partial, partial + C);
  });
  if (d_weight != nullptr) std::copy_n(sums.data(), C, d_weight);
  if (d_bias != nullptr) std::copy_n(sums.data() + C, C, d_bias);
}

void sum_rows(const float* x, int64_t rows, int64_t columns, float* sums) {
  const KernelTable& t = kernels();
  by_rows(rows, columns, columns, sums, [&](int64_t row, int64_t n, float* partial) {
    t.add_rows(x + row * columns, n, columns, partial);
  });
}

}  // namespace fathom
