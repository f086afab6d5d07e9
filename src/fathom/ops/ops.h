// Every operation of the model. Single precision on the processor has kernels of our own; whatever
// else there is, other devices, other precisions, automatic casts, is computed by the plain
// definition (plain.h), which the kernels are tested against.
//
// Shapes: B sequences, T positions, C channels, H heads, D = C / H, V vocabulary, R rows.
#pragma once

#include <memory>
#include <vector>

#include "fathom/kernels/gelu.h"
#include "fathom/ops/attention_mask.h"
#include "fathom/ops/tensor.h"

namespace fathom {

// Dropout of rows of `width`: multipliers, 0 or 1 / (1 - p), by where their draws are
// (kernels/random_field.h). With kernels nobody keeps them, the backward pass draws them again.
struct RowDropout {
  double p = 0;  // 0 <= p < 1
  uint64_t seed = 0;
  int64_t width = 0;
  std::vector<uint64_t> streams, firsts;  // (R)

  // (R, width) of the device and type of `like`.
  Tensor multipliers(const Tensor& like) const;
};

// x (R, width) times its multipliers; `draws` null: x itself.
Tensor apply_dropout(const Tensor& x_RC, const std::shared_ptr<const RowDropout>& draws);

// x (..., in), weight (out, in), bias (out) or undefined -> (..., out).
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

// Over the last dimension; bias may be undefined.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);

Tensor gelu(const Tensor& x, GeluForm form);  // alone; within the MLP it costs less

// linear(gelu(linear(x, up)), down). Biases may be undefined.
struct MlpWeights {
  Tensor up, up_bias, down, down_bias;  // (F, C), (F), (C, F), (C)
};
Tensor mlp(const Tensor& x, const MlpWeights& weights, GeluForm form);

// Multipliers of attention weights, by where their draws are (kernels/attention.h).
struct WeightDropout {
  double p = 0;
  uint64_t seed = 0;
  std::vector<uint64_t> streams;                        // (B)
  std::vector<int64_t> query_positions, key_positions;  // (B, Q), (B, K)
  int64_t span = 0;

  // (B, n_head, Q, K) of the device and type of `like`.
  Tensor multipliers(int64_t n_head, const Tensor& like) const;
};

// q (B, Q, C), k (B, K, C), v (B, K, C') -> (B, Q, C'): softmax(q k^T / sqrt(D)) v by head over the
// keys that the mask lets it see. A query without a key gets exact zeros and sends no gradient.
// `dropout` null: none.
Tensor attention(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKC, int64_t n_head,
                 const AttentionMask& mask, const std::shared_ptr<const WeightDropout>& dropout);

// The same of the q, k, v that lie one behind the other in each row of (B, T, 3C).
Tensor attention(const Tensor& qkv_BTC, int64_t n_head, const AttentionMask& mask,
                 const std::shared_ptr<const WeightDropout>& dropout);

// Keys and values that a decoder keeps; those of a sequence begin at 0. Keys lie turned, so that a
// query meets a vector of them at a time.
struct KeptKeys {
  Tensor k_BCK, v_BKC;  // room for more than there are
  AttentionMask mask;
};

// Attention to them of the first C columns of each row (B * Q, ...) -> (B * Q, C'), without
// gradients.
Tensor attention_of_rows(const Tensor& rows_RC, const KeptKeys& kept, int64_t n_head);

// Rows `ids_R` (R) of a table (V, C), added to x (R, C); x undefined: the rows themselves.
Tensor embed(const Tensor& x_RC, const Tensor& table, const Tensor& ids_R);

// a + b; of a few rows, each with its own or one row for all, and without a graph it costs less.
Tensor plus(const Tensor& a, const Tensor& b);

// What was seen in the next token's scores. Logarithms are natural.
struct Reading {
  Tensor ln_p_R;    // of the asked ids, in the graph; 0 where the id is -1; undefined: not asked
  Tensor ln_max_R;  // of the largest probability, without gradient unless asked for
  Tensor prediction_R;  // int64, the likeliest id, the first one of equals
  Tensor ln_max_confidence_R, ln_p_confidence_R;  // at the confidence temperature, no gradient
  // The sum of the rows' weight * ln p, in the graph; a weight of 0 adds nothing, whatever the ln
  // p. Undefined: not asked.
  Tensor weighted;
};

struct ReadoutRequest {
  Tensor ids_R;  // int64, -1: none; undefined: nothing is asked
  double confidence_temperature = 1;
  bool grad_of_max = false;  // ln_max_R is in the graph
  // What each row's ln p is worth in Reading::weighted; undefined: that is not asked. Who sends a
  // gradient to nothing but that sum has the scores computed once instead of twice, for the price
  // of gradients that are there until then.
  Tensor weight_R;
};

// Without a graph the plain definition reads the vocabulary in chunks of so many ids.
inline constexpr int64_t kVocabularyChunk = 8192;

// n (R, C), head (V, C), bias (V) or undefined. (R, V) scores are never there as a whole where
// there are kernels.
Reading readout(const Tensor& n_RC, const Tensor& head, const Tensor& bias,
                const ReadoutRequest& request);

// As long as it lives, everything is computed by the plain definitions: for tests and comparisons.
class PlainOperations {
 public:
  PlainOperations();
  ~PlainOperations();
  PlainOperations(const PlainOperations&) = delete;
  PlainOperations& operator=(const PlainOperations&) = delete;

 private:
  bool before_;
};

// Whether a tensor like this one is computed by our kernels.
bool has_kernels(const Tensor& x);

}  // namespace fathom
