// Has a row gone round, or through layers, often enough? What a loop halts by after an iteration,
// and a walk at a readout: the scores of HaltRule, with what was remembered of the time before.
//
// R rows, C channels.
#pragma once

#include <functional>
#include <map>

#include "fathom/model/walk/halting.h"
#include "fathom/model/walk/state.h"

namespace fathom {

// The end of iteration k, or the k-th readout, as a rule sees it.
struct IterationEnd {
  const HaltingPolicy& halting;
  const Rows& rows;
  Tensor state_RC;      // x_{k+1}, without gradient
  Tensor asked_R = {};  // bool: the others do not halt; undefined: all are asked
  // The others are not read out either: a skipping walk. Their scores may be anything.
  bool read_asked_only = false;
  // Where scores are read out: the step's reading of the state, if it made one, and what makes
  // others.
  Reading reading = {};
  std::function<Tensor(const Tensor& x_RC)> last_norm = {};
  LinearParams head = {};
  double temperature = 1;
  LinearParams gate = {};  // of kLearned
  int layer = 0;           // picks the threshold
  // Of a walk: divides the scores before a distribution is made of them.
  double scores_temperature = 1;
  // Of a walk whose rows were read by heads of their own before: `head` is the one of this number.
  // Null: by `head`.
  const std::map<int, LinearParams>* heads = nullptr;
  int head_number = 0;
};

struct LoopDecision : HaltDecision {
  int64_t read = 0;  // states that were read out
};

// `memory.input_RC` is of this iteration, the rest of the one before; it is then of this one.
LoopDecision decide(const IterationEnd& end, LoopMemory& memory);

// What the rule wants to be remembered besides: LoopMemory::input_RC.
bool compares_with_input(HaltRule rule);

// KL(p(a) | p(b)) of next-token distributions, the entropy of one, and by how much its largest
// probability exceeds the second one's: (R) float64, natural logarithms, without a graph. States
// after the last norm, (R, C); scores are divided by the temperature.
Tensor divergence(const Tensor& a_RC, const Tensor& b_RC, const LinearParams& head);
Tensor divergence_min_p(const Tensor& a_RC, const Tensor& b_RC, const LinearParams& head);
Tensor divergence(const Tensor& a_RC, const LinearParams& head_of_a, const Tensor& b_RC,
                  const LinearParams& head_of_b, double temperature);
Tensor entropy(const Tensor& n_RC, const LinearParams& head, double temperature = 1);
Tensor margin(const Tensor& n_RC, const LinearParams& head, double temperature = 1);

}  // namespace fathom
