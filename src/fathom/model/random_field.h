// The random numbers of one walk through the model, as a function of seed, step, site, sequence and
// element: micro-batches, resumed runs and recomputed blocks see the numbers of the undivided run.
#pragma once

#include <cstdint>
#include <string>

#include "fathom/ops/plain.h"

namespace fathom {

class RandomField {
 public:
  // `first_sequence`: index, within the optimiser step, of the batch's first sequence.
  RandomField(uint64_t seed, int64_t step, int64_t first_sequence)
      : seed_(seed), step_(step), first_sequence_(first_sequence) {}

  // Multipliers of the dropout at `site` ("attention.3.out") for tensors (B, ...); empty if p is 0.
  // Holds no reference to this object.
  DropoutField dropout(const std::string& site, double p) const;

 private:
  uint64_t seed_;
  int64_t step_, first_sequence_;
};

}  // namespace fathom
