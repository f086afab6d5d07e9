// From hidden states to what is asked of the next token's distribution, on all threads, without the
// scores of all rows at once.
//
// R rows, C channels, V vocabulary. Logarithms are natural.
#pragma once

#include <cstdint>

#include "fathom/kernels/gemm.h"

namespace fathom {

struct RowReading {
  float lse = 0;                                 // ln sum e^score
  float ln_p = 0;                                // of the asked id; 0 for id -1
  float ln_max = 0;                              // of the largest probability
  int64_t prediction = 0;                        // the likeliest id, the first one of equals
  float ln_p_tempered = 0, ln_max_tempered = 0;  // scores divided by the temperature
};

// d score_j = -(of_p + of_max) e^(score_j - lse), + of_p at the asked id, + of_max at the
// likeliest.
struct RowSlope {
  float lse = 0;
  float of_p = 0, of_max = 0;  // gradients of ln_p and ln_max
  int64_t id = -1, prediction = 0;
};

struct ReadoutProblem {
  Matrix x;                                   // (R, C)
  Matrix head;                                // (V, C), by row
  const PackedMatrix* packed_head = nullptr;  // its transpose; null: nobody has it
  const float* bias = nullptr;                // (V) or null
  const int64_t* ids = nullptr;               // (R), -1: none; null: none at all
  double temperature = 1;
};

// readings: (R)
void read_rows(const ReadoutProblem& p, RowReading* readings);

// Where gradients go; null: not wanted. d_head (V, C) and d_bias (V) are added to, d_x is not.
struct ReadoutGradients {
  float *d_x = nullptr, *d_head = nullptr, *d_bias = nullptr;
};

// From the readings' gradients of_p, of_max (R; null: 0), the scores being computed once more.
void readout_backward(const ReadoutProblem& p, const RowReading* readings, const float* of_p,
                      const float* of_max, const ReadoutGradients& gradients);

// Both at once, for gradients `of_p` that are known before: the scores are computed once.
void read_rows_and_slopes(const ReadoutProblem& p, const float* of_p, RowReading* readings,
                          const ReadoutGradients& gradients);

}  // namespace fathom
