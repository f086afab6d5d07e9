#include "fathom/kernels/random_field.h"

#include <algorithm>

#include "fathom/kernels/kernel_table.h"
#include "fathom/kernels/threads.h"

namespace fathom {

void fill_dropout(Span<float> out, double p, uint64_t seed, uint64_t stream, uint64_t first) {
  kernels().dropout(nullptr, out.data(), static_cast<int64_t>(out.size()), p, seed, stream, first);
}

void drop_rows(const RowDraws& d, const float* x, int64_t rows, int64_t columns, float* y) {
  constexpr int64_t kSmall = 1 << 14;  // numbers that are not worth a second thread
  constexpr int64_t kRows = 32;        // of a unit
  const KernelTable& t = kernels();
  for_each_unit((rows + kRows - 1) / kRows, rows * columns < kSmall, [&](int64_t unit) {
    for (int64_t i = unit * kRows; i < std::min(rows, (unit + 1) * kRows); ++i)
      t.dropout(x == nullptr ? nullptr : x + i * columns, y + i * columns, columns, d.p, d.seed,
                d.streams[i], d.firsts[i]);
  });
}

}  // namespace fathom
