#include "fathom/kernels/simd/functions.h"
#include "fathom/kernels/simd/gelu.h"
#include "fathom/kernels/simd/tile.h"

namespace fathom {
namespace FATHOM_ISA {

void pack(const float* b, int64_t b_k, int64_t b_column, int64_t depth, int64_t columns,
          float* packed) {
  for (int64_t j = 0; j < columns; j += kPanel, packed += depth * kPanel) {
    const int64_t n = columns - j < kPanel ? columns - j : kPanel;
    if (b_column == 1)
      pack_panel_straight(b + j, b_k, depth, n, packed);
    else
      pack_panel_turned(b + j * b_column, b_column, depth, n, packed);
  }
}

namespace {

// Tiles of A that are packed together where A lies by columns: so its memory is read in longer
// runs.
constexpr int kGroup = 8;
constexpr int64_t kTilePad = (kTileRows + kLanes - 1) / kLanes * kLanes;
constexpr int64_t kLine = 16;  // floats of a cache line

template <Gelu (*kGelu)(Vec)>
void apply_gelu(float* c, float* pre, int64_t columns) {
  for (int64_t j = 0; j < columns; j += kLanes) {
    const Vec x = load_part(c + j, columns - j);
    if (pre != nullptr) store_part(pre + j, x, columns - j);
    store_part(c + j, kGelu(x).value, columns - j);
  }
}

template <Gelu (*kGelu)(Vec)>
void apply_gelu_backward(float* c, const float* pre, float* activated, int64_t columns) {
  for (int64_t j = 0; j < columns; j += kLanes) {
    const Gelu g = kGelu(load_part(pre + j, columns - j));
    store_part(c + j, load_part(c + j, columns - j) * g.derivative, columns - j);
    store_part(activated + j, g.value, columns - j);
  }
}

template <Gelu (*kGelu)(Vec)>
void apply_form(const GemmFinish& finish, float* c, int64_t row, int64_t columns) {
  float* pre = finish.pre == nullptr ? nullptr : finish.pre + row * finish.other_stride;
  if (finish.kind == GemmFinish::kGelu)
    apply_gelu<kGelu>(c, pre, columns);
  else
    apply_gelu_backward<kGelu>(c, pre, finish.activated + row * finish.other_stride, columns);
}

void apply(const GemmFinish& finish, float* c, int64_t row, int64_t columns) {
  switch (finish.gelu) {
    case GeluForm::kExact:
      return apply_form<gelu_exact>(finish, c, row, columns);
    case GeluForm::kTanh:
      return apply_form<gelu_tanh>(finish, c, row, columns);
    case GeluForm::kSilu:
      return apply_form<silu>(finish, c, row, columns);
  }
}

class BlockProduct {
 public:
  explicit BlockProduct(const GemmBlock& block) : g_(block) {}

  void add_by_row() {
    alignas(64) float rows[kTileRows * kRowStride];
    for (int64_t i = 0; i < g_.rows; i += kTileRows) {
      const int64_t n = at_most(kTileRows, g_.rows - i);
      copy_rows(g_.a + i * g_.a_row, g_.a_row, n, g_.depth, 1.0f, rows);
      next_rows_ = i + kTileRows < g_.rows ? g_.a + (i + kTileRows) * g_.a_row : nullptr;
      tiles<kByRow>(i, n, rows, 1);
    }
  }

  void add_by_column() {
    alignas(64) float tiles_of_a[kGroup * kDepth * kTilePad];
    for (int64_t first = 0; first < g_.rows; first += kGroup * kTileRows) {
      const int64_t end = at_most(first + kGroup * kTileRows, g_.rows);
      for (int64_t k = 0; k < g_.depth; ++k) {
        const float* a = g_.a + k * g_.a_k;
        float* to = tiles_of_a + k * kTilePad;
        for (int64_t i = first; i < end; i += kTileRows, to += g_.depth * kTilePad) {
          // Whole vectors where they stay inside A's row.
          if (i + kTilePad <= end) {
            for (int64_t l = 0; l < kTilePad; l += kLanes) store(to + l, load(a + i + l));
          } else {
            for (int64_t l = 0; l < kTilePad; l += kLanes)
              store(to + l, i + l < end ? load_part(a + i + l, end - i - l) : Vec{});
          }
        }
      }
      const float* tile_of_a = tiles_of_a;
      next_rows_ = end < g_.rows ? g_.a + end : nullptr;
      for (int64_t i = first; i < end; i += kTileRows, tile_of_a += g_.depth * kTilePad)
        tiles<kByColumn>(i, at_most(kTileRows, end - i), tile_of_a, kTilePad);
    }
  }

 private:
  template <int64_t kRow>
  void tiles(int64_t row, int64_t rows, const float* a, int64_t a_k) {
    const int64_t panels = (g_.columns + kPanel - 1) / kPanel;
    float* c = g_.c + row * g_.c_row;
    for (int64_t p = 0, done = 1; p < panels; p += done) {
      if (next_rows_ != nullptr) prefetch_part<kRow>(row, p, panels);
      TileResult result;
      result.add = g_.finish.accumulate;
      if (g_.finish.bias != nullptr) result.bias = g_.finish.bias + p * kPanel;
      const float* packed = g_.packed + p * g_.depth * kPanel;
      const int64_t columns = g_.columns - p * kPanel;
      if (kRow == kByRow && rows == 1 && columns >= 2 * kPanel) {
        done = columns >= 4 * kPanel ? 4 : 2;
        (done == 4 ? panels_of_a_row<4> : panels_of_a_row<2>)(a, packed, g_.depth, result,
                                                              c + p * kPanel);
        continue;
      }
      done = 1;
      any_tile<kRow>(rows, a, a_k, packed, g_.depth, result, c + p * kPanel, g_.c_row,
                     at_most(kPanel, columns));
    }
    if (g_.finish.kind != GemmFinish::kNone)
      for (int64_t i = 0; i < rows; ++i) apply(g_.finish, c + i * g_.c_row, row + i, g_.columns);
  }

  // The next rows of A (by columns: the next group's) come from memory while these are multiplied,
  // a part with every panel.
  template <int64_t kRow>
  void prefetch_part(int64_t row, int64_t panel, int64_t panels) const {
    if (kRow == kByRow) {
      const int64_t lines = (g_.depth + kLine - 1) / kLine;
      for (int64_t l = lines * panel / panels; l < lines * (panel + 1) / panels; ++l)
        for (int i = 0; i < kTileRows; ++i)
          __builtin_prefetch(next_rows_ + i * g_.a_row + l * kLine, 0, 2);
      return;
    }
    const int64_t parts = kGroup * panels, part = row / kTileRows % kGroup * panels + panel;
    const int64_t group = row / kTileRows / kGroup * kGroup * kTileRows;
    const int64_t next = at_most(kGroup * kTileRows, g_.rows - group - kGroup * kTileRows);
    for (int64_t k = g_.depth * part / parts; k < g_.depth * (part + 1) / parts; ++k)
      for (int64_t i = 0; i < next; i += kLine)
        __builtin_prefetch(next_rows_ + k * g_.a_k + i, 0, 2);
  }

  static int64_t at_most(int64_t limit, int64_t n) { return n < limit ? n : limit; }

  const GemmBlock& g_;
  const float* next_rows_ = nullptr;
};

}  // namespace

void gemm_block(const GemmBlock& block) {
  BlockProduct product(block);
  if (block.a_k == 1)
    product.add_by_row();
  else
    product.add_by_column();
}

}  // namespace FATHOM_ISA
}  // namespace fathom
