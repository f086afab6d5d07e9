// The functions that every instruction set has. Internal to kernels/: others call what gemm.h,
// attention.h, ... declare.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fathom/kernels/attention.h"
#include "fathom/kernels/gemm.h"
#include "fathom/kernels/norm.h"
#include "fathom/kernels/optimizer.h"
#include "fathom/kernels/readout.h"

namespace fathom {

// Rows of A times a packed part of B.
struct GemmBlock {
  const float* a = nullptr;
  int64_t a_row = 0, a_k = 0;                // strides, one of them 1
  int64_t rows = 0, depth = 0, columns = 0;  // depth <= KernelTable::depth
  const float* packed = nullptr;             // what KernelTable::pack made of (depth, columns)
  float* c = nullptr;
  int64_t c_row = 0;
  GemmFinish finish;  // pointers at the block's first element
};

// Of turned keys so few queries read keys and values where they lie: packing takes longer.
constexpr int64_t kFewQueries = 4;

// One head of one sequence.
struct AttentionHead {
  int64_t Q = 0, K = 0, D = 0, E = 0;
  float scale = 1;
  const float *q = nullptr, *k = nullptr, *v = nullptr;
  int64_t q_row = 0, k_row = 0, v_row = 0;
  int64_t k_channel = 1;             // AttentionProblem::k_channel_stride
  const KeyRange* ranges = nullptr;  // (Q)
  const float* hidden = nullptr;     // (K) or null
  const int32_t* own = nullptr;      // (Q) or null
  const uint8_t* blocked = nullptr;  // (Q, K) or null
  AttentionDropout dropout;          // pointers at the sequence's
  int64_t heads = 0, head = 0;

  float *out = nullptr, *lse = nullptr;
  int64_t out_row = 0;
  bool backward = false;  // what follows is there
  const float* d_out = nullptr;
  float *d_q = nullptr, *d_k = nullptr, *d_v = nullptr;
  int64_t d_out_row = 0, d_q_row = 0, d_k_row = 0, d_v_row = 0;

  // Of other forms.
  bool sigmoid = false, sink = false;
  float share = 1;  // of the head in the sum of heads
};

// A block of a head's queries in attention of other forms. Scores of a block lie by chunks of
// KernelTable::depth keys, `chunk_stride` apart, and in them by rows, KernelTable::score_row apart.
struct AttentionBlock {
  int64_t query = 0, rows = 0;  // rows <= KernelTable::block_rows
  int64_t first = 0, last = 0;  // keys that some of them see
  int64_t chunk_stride = 0;
  // What KernelTable::pack made of the keys, (D, K) and (K, D), and of the values: forward (K, E),
  // backward (E, K), so many of E at a time as the table is deep. None for few queries of turned
  // keys.
  const float *keys_turned = nullptr, *keys_straight = nullptr, *values = nullptr;
  float* weights = nullptr;  // scores of the block: the weights, `share` of them
  bool add = false;          // to what other heads' weights have become
  float* slopes = nullptr;   // scores of the block: gradients of the weights
  float* d_keys = nullptr;   // (K, D), rows padded to whole panels; added to
};

struct KernelTable {
  // Panels are `panel` columns wide, k-blocks `depth` rows deep; work is best cut into multiples of
  // `tile_rows`.
  int64_t panel, depth, tile_rows;

  // Rows, of which products take KernelTable::depth at a time, and any number of columns of B, as
  // panels of depth * panel.
  void (*pack)(const float* b, int64_t b_k, int64_t b_column, int64_t depth, int64_t columns,
               float* packed);
  void (*gemm_block)(const GemmBlock& block);

  // D and E are at most `depth`. `scratch`: so many floats, on a cache line.
  size_t (*attention_scratch)(const AttentionHead& head);
  void (*attention_forward)(const AttentionHead& head, float* scratch);
  void (*attention_backward)(const AttentionHead& head, float* scratch);

  // Attention of other forms, block by block: D is at most `depth`.
  int64_t block_rows, score_row;
  size_t (*block_scratch)(const AttentionHead& head, const AttentionBlock& block);
  void (*block_weights)(const AttentionHead& head, const AttentionBlock& block, float* scratch);
  // Rows of out from the weights.
  void (*block_mix)(const AttentionHead& head, const AttentionBlock& block);
  // Slopes from d_out, of the keys [block.first, block.last).
  void (*block_slopes)(const AttentionHead& head, const AttentionBlock& block, float* scratch);
  // From slopes to d_q, d_keys, and the weights again.
  void (*block_backward)(const AttentionHead& head, const AttentionBlock& block, float* scratch);
  // Adds to d_v of these keys, from the weights.
  void (*block_spread)(const AttentionHead& head, const AttentionBlock& block, float* scratch);

  // norm.h, some rows. d_weight and d_bias are added to.
  void (*norm_forward)(const NormProblem& p, float* y, float* mean, float* scale);
  void (*norm_backward)(const NormProblem& p, const float* mean, const float* scale,
                        const float* d_y, float* d_x, float* d_weight, float* d_bias);
  // sums (columns) += the rows of x.
  void (*add_rows)(const float* x, int64_t rows, int64_t columns, float* sums);

  // sum.h
  void (*add)(const float* a, const float* b, int64_t count, float* y);

  // readout.h, one row.
  RowReading (*read_row)(const float* logits, int64_t V, int64_t id, double temperature);
  void (*slope_row)(float* logits, int64_t V, const RowSlope& slope);

  // optimizer.h
  double (*sum_of_squares)(const float* x, int64_t count);
  void (*adamw)(const AdamWStep& step, float* w, const float* g, float* m, float* v, int64_t count);

  // random_field.h
  void (*dropout)(const float* x, float* out, int64_t count, double p, uint64_t seed,
                  uint64_t stream, uint64_t first);
};

// Of chosen_isa().
const KernelTable& kernels();

}  // namespace fathom
