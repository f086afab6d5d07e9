// Products of matrices of floats, on all threads.
//
// The bits of an element of the result depend on its row of A, its column of B and the instruction
// set, and on nothing else: not on the number of threads, the other rows or the other columns.
#pragma once

#include <cstdint>
#include <memory>

#include "fathom/kernels/gelu.h"

namespace fathom {

// Memory that someone else owns. Element (i, j) is data[i * row_stride + j * column_stride]; one of
// the strides is 1.
struct Matrix {
  const float* data = nullptr;
  int64_t rows = 0, columns = 0;
  int64_t row_stride = 0, column_stride = 1;

  Matrix transposed() const { return {data, columns, rows, column_stride, row_stride}; }
};

// Rows one behind the other, `stride` floats apart; -1: `columns` apart.
inline Matrix row_major(const float* data, int64_t rows, int64_t columns, int64_t stride = -1) {
  return {data, rows, columns, stride < 0 ? columns : stride, 1};
}

// What becomes of a product on its way to memory, where it is still in the cache.
struct GemmFinish {
  bool accumulate = false;      // C += A B; without a bias
  const float* bias = nullptr;  // (N), added to every row

  enum Kind { kNone, kGelu, kGeluBackward } kind = kNone;
  GeluForm gelu = GeluForm::kExact;
  // kGelu: C = gelu(x), and x itself, the product, goes to `pre` (null: nowhere).
  // kGeluBackward: C = (A B) * gelu'(x) for the x in `pre`, and gelu(x) goes to `activated`.
  float* pre = nullptr;
  float* activated = nullptr;
  int64_t other_stride = 0;  // of the rows of both
};

// C (M, N) = A (M, K) B (K, N); rows of C are c_stride apart. C overlaps neither A nor B.
void gemm(const Matrix& a, const Matrix& b, float* c, int64_t c_stride,
          const GemmFinish& finish = {});

struct KernelTable;

// A right factor the way the kernels read it, for one that many products have. Others pack theirs
// for themselves, which takes longer than multiplying it by a row.
class PackedMatrix {
 public:
  PackedMatrix();
  ~PackedMatrix();
  PackedMatrix(const PackedMatrix&) = delete;
  PackedMatrix& operator=(const PackedMatrix&) = delete;

  // In the memory of the last one, if the size is the same. Throws std::bad_alloc. Before the first
  // one there is nothing to multiply by.
  void pack(const Matrix& b);
  static size_t bytes_for(const Matrix& b);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }

 private:
  friend void gemm(const Matrix&, const PackedMatrix&, float*, int64_t, const GemmFinish&);
  struct Free {
    void operator()(float* p) const;
  };
  const KernelTable* table_ = nullptr;  // of the instruction set that it was packed for
  int64_t rows_ = 0, columns_ = 0;
  size_t size_ = 0;  // floats
  std::unique_ptr<float, Free> data_;
};

// The same bits as with B itself.
void gemm(const Matrix& a, const PackedMatrix& b, float* c, int64_t c_stride,
          const GemmFinish& finish = {});

}  // namespace fathom
