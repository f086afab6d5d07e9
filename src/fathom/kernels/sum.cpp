#include "fathom/kernels/sum.h"

#include <algorithm>

#include "fathom/kernels/kernel_table.h"
#include "fathom/kernels/threads.h"

namespace fathom {
namespace {

constexpr int64_t kSmall = 1 << 15;  // numbers that are not worth a second thread
constexpr int64_t kRows = 64;        // of a unit

}  // namespace

void add(const float* a, const float* b, int64_t count, float* y) {
  kernels().add(a, b, count, y);
}

void add_rows_of_table(const TableRows& t, float* y) {
  for_each_unit((t.R + kRows - 1) / kRows, t.R * t.C < kSmall, [&](int64_t unit) {
    for (int64_t i = unit * kRows; i < std::min(t.R, (unit + 1) * kRows); ++i) {
      const float* row = t.table + t.ids[i] * t.C;
      if (t.x == nullptr)
        std::copy_n(row, t.C, y + i * t.C);
      else
        add(t.x + i * t.C, row, t.C, y + i * t.C);
    }
  });
}

}  // namespace fathom
