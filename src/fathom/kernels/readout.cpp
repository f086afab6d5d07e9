#include "fathom/kernels/readout.h"

#include <algorithm>
#include <vector>

#include "fathom/kernels/kernel_table.h"
#include "fathom/kernels/norm.h"
#include "fathom/kernels/scratch.h"
#include "fathom/kernels/threads.h"

namespace fathom {
namespace {

// Scores that are there at once, in floats (64 MiB), and rows that a weight's gradient is worth
// reading and writing for.
constexpr int64_t kMostScores = 16 << 20;
constexpr int64_t kLeastRows = 64;
constexpr int64_t kSmall = 1 << 15;  // scores that are not worth a second thread

class Readout {
 public:
  explicit Readout(const ReadoutProblem& p) : p_(p) {}

  // f(row, its scores) for all rows, some at a time; then after(first row, rows, scores).
  template <class F, class After>
  void each(const F& f, const After& after) const {
    const int64_t V = p_.head.rows, most = std::max(kMostScores / V, kLeastRows);
    for (int64_t first = 0; first < p_.x.rows; first += most) {
      const int64_t rows = std::min(most, p_.x.rows - first);
      float* scores = scratch(kReadout, static_cast<size_t>(rows * V));
      GemmFinish finish;
      finish.bias = p_.bias;
      if (p_.packed_head != nullptr)
        gemm(part(first, rows), *p_.packed_head, scores, V, finish);
      else
        gemm(part(first, rows), p_.head.transposed(), scores, V, finish);
      for_each_unit((rows + kRowsAtOnce - 1) / kRowsAtOnce, rows * V < kSmall, [&](int64_t unit) {
        const int64_t end = std::min(rows, (unit + 1) * kRowsAtOnce);
        for (int64_t i = unit * kRowsAtOnce; i < end; ++i) f(first + i, scores + i * V);
      });
      after(first, rows, scores);
    }
  }

  RowReading read(int64_t row, const float* scores) const {
    return kernels().read_row(scores, p_.head.rows, id(row), p_.temperature);
  }

  // Scores become their gradients.
  void turn(int64_t row, float* scores, const RowReading& reading, const float* of_p,
            const float* of_max) const {
    RowSlope slope;
    slope.lse = reading.lse;
    slope.id = id(row);
    slope.prediction = reading.prediction;
    if (of_p != nullptr && slope.id >= 0) slope.of_p = of_p[row];
    if (of_max != nullptr) slope.of_max = of_max[row];
    kernels().slope_row(scores, p_.head.rows, slope);
  }

  // What the scores' gradients of some rows give.
  void spread(int64_t first, int64_t rows, const float* slopes, const ReadoutGradients& g) const {
    const int64_t V = p_.head.rows, C = p_.x.columns;
    const Matrix slopes_RV = row_major(slopes, rows, V);
    if (g.d_x != nullptr) gemm(slopes_RV, p_.head, g.d_x + first * C, C);
    if (g.d_head != nullptr) {
      GemmFinish add;
      add.accumulate = true;
      gemm(slopes_RV.transposed(), part(first, rows), g.d_head, C, add);
    }
    if (g.d_bias == nullptr) return;
    std::vector<float> sums(static_cast<size_t>(V));
    sum_rows(slopes, rows, V, sums.data());
    for (int64_t j = 0; j < V; ++j) g.d_bias[j] += sums[static_cast<size_t>(j)];
  }

 private:
  static constexpr int64_t kRowsAtOnce = 8;

  int64_t id(int64_t row) const { return p_.ids == nullptr ? -1 : p_.ids[row]; }
  Matrix part(int64_t first, int64_t rows) const {
    Matrix x = p_.x;
    x.data += first * x.row_stride;
    x.rows = rows;
    return x;
  }

  const ReadoutProblem& p_;
};

}  // namespace

void read_rows(const ReadoutProblem& p, RowReading* readings) {
  const Readout readout(p);
  readout.each([&](int64_t row, const float* s) { readings[row] = readout.read(row, s); },
               [](int64_t, int64_t, const float*) {});
}

void readout_backward(const ReadoutProblem& p, const RowReading* readings, const float* of_p,
                      const float* of_max, const ReadoutGradients& gradients) {
  const Readout readout(p);
  readout.each([&](int64_t row, float* s) { readout.turn(row, s, readings[row], of_p, of_max); },
               [&](int64_t first, int64_t rows, const float* slopes) {
                 readout.spread(first, rows, slopes, gradients);
               });
}

void read_rows_and_slopes(const ReadoutProblem& p, const float* of_p, RowReading* readings,
                          const ReadoutGradients& gradients) {
  const Readout readout(p);
  readout.each(
      [&](int64_t row, float* s) {
        readings[row] = readout.read(row, s);
        readout.turn(row, s, readings[row], of_p, nullptr);
      },
      [&](int64_t first, int64_t rows, const float* slopes) {
        readout.spread(first, rows, slopes, gradients);
      });
}

}  // namespace fathom
