// softmax(q k^T / sqrt(D)) v by head, or another form of it, and its gradients, on all threads,
// without the matrix of all queries times all keys.
//
// B sequences, Q queries and K keys each, H heads, D = key width of a head, E = value width, of a
// head or of all.
// Results have the same bits for any number of threads.
#pragma once

#include <cstdint>

#include "fathom/kernels/attention_form.h"

namespace fathom {

// (B, rows, H * width) in memory that someone else owns; a row's elements are one behind the other
// (keys: unless they are turned).
struct HeadRows {
  float* data = nullptr;
  int64_t batch_stride = 0, row_stride = 0;
};

// Keys that a query may see: those in [first, last) that are not hidden or blocked.
struct KeyRange {
  int32_t first = 0, last = 0;
};

// Multipliers of the attention weights: that of a weight is draw number
// (query position * H + head) * span + key position of its sequence's stream (random_field.h).
struct AttentionDropout {
  double p = 0;  // 0: none
  uint64_t seed = 0;
  const uint64_t* streams = nullptr;         // (B)
  const int64_t* query_positions = nullptr;  // (B, Q)
  const int64_t* key_positions = nullptr;    // (B, K), increasing; those of visible keys are used
  int64_t span = 0;                          // more than any position
};

struct AttentionProblem {
  int64_t B = 0, Q = 0, K = 0, H = 0, D = 0, E = 0;
  HeadRows q, k, v;  // not changed
  // Distance between a key's elements. If it is not 1, keys lie turned, (B, H * D, K), and their
  // row_stride is 1. For forward alone; a few queries then read keys and values in place.
  int64_t k_channel_stride = 1;
  const KeyRange* ranges = nullptr;  // (B, Q)
  // (B, K), not 0: nobody sees the key; null: all are seen. The ends of a range are keys that its
  // query sees.
  const float* hidden = nullptr;
  const int32_t* own = nullptr;      // (B, Q): the hidden key that the query sees; -1, null: none
  const uint8_t* blocked = nullptr;  // (B, Q, K), not 0: this query does not see it; null: no use
  AttentionDropout dropout;
  // Which keys are seen the ranges say, `strict` ones, too.
  AttentionForm form;
};

// Whether heads of these widths fit the kernels.
bool attention_fits(int64_t D, int64_t E, const AttentionForm& form = {});

// out (B, Q, H * E), or (B, Q, E) if heads are added: zeros for a query without a key. lse (B, H,
// Q): what backward needs; null: nobody does.
void attention_forward(const AttentionProblem& problem, const HeadRows& out, float* lse);

// Gradients of q, k, v from that of out. `lse` is forward's.
void attention_backward(const AttentionProblem& problem, const float* lse, const HeadRows& d_out,
                        const HeadRows& d_q, const HeadRows& d_k, const HeadRows& d_v);

}  // namespace fathom
