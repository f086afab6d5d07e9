#include "fathom/kernels/gemm.h"

#include <algorithm>
#include <cstdlib>

#include "fathom/kernels/kernel_table.h"
#include "fathom/kernels/scratch.h"
#include "fathom/kernels/threads.h"

namespace fathom {
namespace {

constexpr int64_t kSmall = 1 << 20;        // multiplications that are not worth a second thread
constexpr int64_t kSmallPacked = 1 << 17;  // floats of B whose packing is not worth waking one for
constexpr int64_t kPackedFloats = 160 << 10;  // of B in a second-level cache of 1 MiB
constexpr int64_t kUnitsPerThread = 4;   // so that the last one to finish is not waited for long
constexpr int64_t kLeastPanels = 8;      // that a row of A, brought into the cache, is worth
constexpr int64_t kMostRows = 512;       // of a unit that shares its columns with others
constexpr int64_t kFewRows = 4;          // a product of so many takes as long as reading B
constexpr int64_t kSmallRead = 1 << 17;  // floats of B whose reading is not worth a second thread

int64_t blocks(int64_t n, int64_t size) {
  return (n + size - 1) / size;
}

void pack(const KernelTable& t, const Matrix& b, int64_t k0, int64_t depth, int64_t column,
          int64_t columns, float* to) {
  t.pack(b.data + k0 * b.row_stride + column * b.column_stride, b.row_stride, b.column_stride,
         depth, columns, to);
}

size_t packed_floats(const KernelTable& t, const Matrix& b) {
  return size_t(blocks(b.columns, t.panel) * t.panel * b.rows);
}

// All of B: k-blocks one behind the other, each with all its panels.
void pack_all(const KernelTable& t, const Matrix& b, bool small, float* to) {
  const int64_t panels = blocks(b.columns, t.panel), k_blocks = blocks(b.rows, t.depth);
  for_each_unit(k_blocks * panels, small || b.rows * b.columns < kSmallPacked, [&](int64_t unit) {
    const int64_t k0 = unit / panels * t.depth, column = unit % panels * t.panel;
    const int64_t depth = std::min(t.depth, b.rows - k0);
    pack(t, b, k0, depth, column, std::min(t.panel, b.columns - column),
         to + k0 * panels * t.panel + column * depth);
  });
}

class Product {
 public:
  // `packed`: all of B, if it is that already; b has its shape then.
  Product(const KernelTable& table, const Matrix& a, const Matrix& b, const float* packed, float* c,
          int64_t c_stride, const GemmFinish& finish)
      : t_(table),
        a_(a),
        b_(b),
        shared_(packed),
        c_(c),
        c_stride_(c_stride),
        finish_(finish),
        small_(a.rows * b.columns * a.columns < kSmall) {
    const int64_t panels = blocks(n(), t_.panel), units = kUnitsPerThread * threads();
    if (packed != nullptr && m() <= kFewRows) {
      // Reading B is the work.
      small_ = n() * k() < kSmallRead;
      const int64_t parts = small_ ? 1 : std::min(panels, int64_t{threads()});
      column_size_ = blocks(panels, parts) * t_.panel;
      row_size_ = m();
      return;
    }
    const int64_t widest = std::max(kPackedFloats / std::min(k(), t_.depth) / t_.panel, int64_t{1});
    // Many columns: a unit is some of them, and packs its part of B for itself, where it stays in
    // the cache. Else B is packed once for all, and a unit is some of the rows as well.
    shares_ = packed != nullptr || panels < units * kLeastPanels;
    const int64_t parts = std::max(blocks(panels, widest), shares_ ? 1 : units);
    column_size_ = blocks(panels, parts) * t_.panel;
    row_size_ = m();
    if (shares_) {
      const int64_t tiles = blocks(blocks(m(), blocks(units, parts)), t_.tile_rows);
      row_size_ = std::min(tiles, kMostRows / t_.tile_rows) * t_.tile_rows;
    }
  }

  void run() {
    if (shares_ && shared_ == nullptr) {
      float* all = scratch(kPackedShared, packed_floats(t_, b_));
      pack_all(t_, b_, small_, all);
      shared_ = all;
    }
    const int64_t column_blocks = blocks(n(), column_size_), row_blocks = blocks(m(), row_size_);
    for_each_unit(column_blocks * row_blocks, small_, [&](int64_t unit) {
      const int64_t row = unit % row_blocks * row_size_;
      const int64_t column = unit / row_blocks * column_size_;
      compute(row, std::min(row_size_, m() - row), column, std::min(column_size_, n() - column));
    });
  }

 private:
  int64_t m() const { return a_.rows; }
  int64_t n() const { return b_.columns; }
  int64_t k() const { return a_.columns; }

  void compute(int64_t row, int64_t rows, int64_t column, int64_t columns) const {
    const int64_t all_columns = blocks(n(), t_.panel) * t_.panel;
    GemmBlock g;
    g.a_row = a_.row_stride;
    g.a_k = a_.column_stride;
    g.rows = rows;
    g.columns = columns;
    g.c = c_ + row * c_stride_ + column;
    g.c_row = c_stride_;
    for (int64_t k0 = 0; k0 < k(); k0 += t_.depth) {
      g.depth = std::min(t_.depth, k() - k0);
      g.a = a_.data + row * a_.row_stride + k0 * a_.column_stride;
      if (shares_) {
        g.packed = shared_ + k0 * all_columns + column * g.depth;
      } else {
        float* own = scratch(kPackedOwn, size_t(blocks(columns, t_.panel) * t_.panel * g.depth));
        pack(t_, b_, k0, g.depth, column, columns, own);
        g.packed = own;
      }
      g.finish = finish_at(row, column, k0 == 0, k0 + g.depth == k());
      t_.gemm_block(g);
    }
  }

  // A sum begins with the bias at the first k-block, and is finished after the last one.
  GemmFinish finish_at(int64_t row, int64_t column, bool first, bool last) const {
    GemmFinish finish;
    finish.accumulate = finish_.accumulate || !first;
    if (first && finish_.bias != nullptr) finish.bias = finish_.bias + column;
    if (!last) return finish;
    finish.kind = finish_.kind;
    finish.gelu = finish_.gelu;
    finish.other_stride = finish_.other_stride;
    const int64_t offset = row * finish_.other_stride + column;
    if (finish_.pre != nullptr) finish.pre = finish_.pre + offset;
    if (finish_.activated != nullptr) finish.activated = finish_.activated + offset;
    return finish;
  }

  const KernelTable& t_;
  const Matrix &a_, &b_;
  const float* shared_;
  float* c_;
  int64_t c_stride_;
  const GemmFinish& finish_;
  bool small_, shares_ = true;
  int64_t column_size_ = 0, row_size_ = 0;
};

// A product over nothing is zero.
void fill(const Matrix& a, const Matrix& b, float* c, int64_t c_stride, const GemmFinish& finish) {
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t j = 0; j < b.columns; ++j)
      if (!finish.accumulate) c[i * c_stride + j] = finish.bias != nullptr ? finish.bias[j] : 0;
}

void product(const KernelTable& table, const Matrix& a, const Matrix& b, const float* packed,
             float* c, int64_t c_stride, const GemmFinish& finish) {
  if (a.rows == 0 || b.columns == 0) return;
  if (a.columns == 0) return fill(a, b, c, c_stride, finish);
  Product(table, a, b, packed, c, c_stride, finish).run();
}

}  // namespace

void gemm(const Matrix& a, const Matrix& b, float* c, int64_t c_stride, const GemmFinish& finish) {
  product(kernels(), a, b, nullptr, c, c_stride, finish);
}

PackedMatrix::PackedMatrix() = default;
PackedMatrix::~PackedMatrix() = default;

void PackedMatrix::Free::operator()(float* p) const {
  std::free(p);
}

size_t PackedMatrix::bytes_for(const Matrix& b) {
  return packed_floats(kernels(), b) * sizeof(float);
}

void PackedMatrix::pack(const Matrix& b) {
  table_ = &kernels();
  const size_t size = packed_floats(*table_, b);
  if (size != size_) {
    size_ = 0;
    data_.reset();  // first, so that both are never there at once
    data_.reset(new_floats(size));
    size_ = size;
  }
  rows_ = b.rows;
  columns_ = b.columns;
  pack_all(*table_, b, /*small=*/false, data_.get());
}

void gemm(const Matrix& a, const PackedMatrix& b, float* c, int64_t c_stride,
          const GemmFinish& finish) {
  product(*b.table_, a, row_major(nullptr, b.rows_, b.columns_), b.data_.get(), c, c_stride,
          finish);
}

}  // namespace fathom
