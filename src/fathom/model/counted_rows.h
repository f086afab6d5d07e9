// Which rows the terms of an objective are about, and what their means divide by.
//
// B sequences, T positions, R rows.
#pragma once

#include "fathom/model/spec/objective.h"
#include "fathom/model/walk/walk.h"

namespace fathom {

// The rows that a term of some denominator is about, and what they weigh.
struct Ground {
  Tensor open_R;    // bool
  Tensor weight_R;  // undefined: 1
};
Ground ground_of(TermRule::Per per, const Rows& rows, const Batch& batch);

// The batch's targets, by their weights where it has any.
double target_count(const Batch& batch);
// The sum of the ground's weights.
double count_of(TermRule::Per per, const Batch& batch);

// Which of them a term reads at which step of a walk that is over.
class OpenRows {
 public:
  OpenRows(const SupervisionTerm& term, const Trace& trace) : term_(term), trace_(trace) {}

  Tensor at(size_t step, const Tensor& ground_R) const;
  // No row is read there: the term is of last readings, and all are read again by the layer.
  bool is_passed_over(size_t step) const;

 private:
  bool reads_again(size_t step, size_t later) const;
  Tensor read_later(size_t step, const Tensor& like_R) const;

  const SupervisionTerm& term_;
  const Trace& trace_;
};

}  // namespace fathom
