// What each instruction set's files define, for its table. Internal to kernels/simd.
#pragma once

#include "fathom/kernels/kernel_table.h"

namespace fathom {
namespace FATHOM_ISA {

void pack(const float* b, int64_t b_k, int64_t b_column, int64_t depth, int64_t columns,
          float* packed);
void gemm_block(const GemmBlock& block);
size_t attention_scratch(const AttentionHead& head);
void attention_forward(const AttentionHead& head, float* scratch);
void attention_backward(const AttentionHead& head, float* scratch);
size_t block_scratch(const AttentionHead& head, const AttentionBlock& block);
void block_weights(const AttentionHead& head, const AttentionBlock& block, float* scratch);
void block_mix(const AttentionHead& head, const AttentionBlock& block);
void block_slopes(const AttentionHead& head, const AttentionBlock& block, float* scratch);
void block_backward(const AttentionHead& head, const AttentionBlock& block, float* scratch);
void block_spread(const AttentionHead& head, const AttentionBlock& block, float* scratch);
void norm_forward(const NormProblem& p, float* y, float* mean, float* scale);
void norm_backward(const NormProblem& p, const float* mean, const float* scale, const float* d_y,
                   float* d_x, float* d_weight, float* d_bias);
void add_rows(const float* x, int64_t rows, int64_t columns, float* sums);
void add(const float* a, const float* b, int64_t count, float* y);
RowReading read_row(const float* logits, int64_t V, int64_t id, double temperature);
void slope_row(float* logits, int64_t V, const RowSlope& slope);
double sum_of_squares(const float* x, int64_t count);
void adamw(const AdamWStep& step, float* w, const float* g, float* m, float* v, int64_t count);
void dropout(const float* x, float* out, int64_t count, double p, uint64_t seed, uint64_t stream,
             uint64_t first);

extern const KernelTable table;

}  // namespace FATHOM_ISA
}  // namespace fathom
