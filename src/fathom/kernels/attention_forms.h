// Attention of other forms than softmax over values by head. Internal to kernels/: others call what
// attention.h declares.
#pragma once

#include "fathom/kernels/kernel_table.h"

namespace fathom {

// ---- what attention.cpp has for both ----
float* head_at(const HeadRows& rows, int64_t b, int64_t head, int64_t width);
AttentionHead head_of(const AttentionProblem& p, int64_t b, int64_t h);
bool is_small(const AttentionProblem& p);  // not worth a second thread

void other_attention_forward(const AttentionProblem& p, const HeadRows& out, float* lse);
void other_attention_backward(const AttentionProblem& p, const float* lse, const HeadRows& d_out,
                              const HeadRows& d_q, const HeadRows& d_k, const HeadRows& d_v);

}  // namespace fathom
