// The random numbers of one walk through the model, as a function of seed, step, site, sequence,
// position and channel: micro-batches, rows that have left the walk, resumed runs and recomputed
// blocks see the numbers of the undivided run.
//
// Tensors have the device and type of `like` and no gradient.
#pragma once

#include <cstdint>
#include <string>

#include "fathom/base/random.h"
#include "fathom/ops/ops.h"

namespace fathom {

class Rows;

class RandomField {
 public:
  // `first_sequence`: index, within the optimiser step, of the batch's first sequence.
  RandomField(uint64_t seed, int64_t step, int64_t first_sequence)
      : seed_(seed), step_(step), first_sequence_(first_sequence) {}

  // Of a walk whose sequences, in every pass, have the same numbers.
  static RandomField alike(uint64_t seed);

  int64_t step() const { return step_; }
  // Numbers of the whole optimiser step, whichever passes it has; and of a sequence of the batch.
  RandomStream of_step(const std::string& site) const;
  RandomStream of_sequence(const std::string& site, int64_t sequence) const;
  // Dropout of (R, width) at the site ("mlp_out.3"); null if p is 0.
  std::shared_ptr<const RowDropout> row_draws(const std::string& site, double p, const Rows& rows,
                                              int64_t width) const;
  // Its multipliers; undefined if p is 0.
  Tensor dropout(const std::string& site, double p, const Rows& rows, int64_t width,
                 const Tensor& like) const;
  // Dropout of attention weights between padded rows; p > 0. `span`: more than any position; keys
  // are addressed by it.
  WeightDropout attention_draws(const std::string& site, double p, const AttentionRows& queries,
                                const AttentionRows& keys, int64_t span) const;
  // Standard normal numbers (R, width), and numbers of [0, 1), which in no type are rounded to 1.
  Tensor normal(const std::string& site, const Rows& rows, int64_t width, const Tensor& like) const;
  Tensor uniform(const std::string& site, const Rows& rows, int64_t width,
                 const Tensor& like) const;

 private:
  // draw(stream, number) at every place.
  template <class Draw>
  Tensor numbers(const std::string& site, const Rows& rows, int64_t width, const Tensor& like,
                 const Draw& draw) const;
  // Names the stream of a site and a sequence of the batch.
  uint64_t stream(uint64_t site_hash, int64_t sequence) const;

  uint64_t seed_;
  int64_t step_, first_sequence_;
  bool alike_ = false;  // every sequence is the first
};

}  // namespace fathom
