// What a loop learns to halt by: g = sigmoid(w x + b) of the state x after an iteration. It is
// trained by itself (model/gate_loss.h), and halts rows where the loop's rule is
// HaltRule::kLearned.
#pragma once

#include "fathom/model/spec/part.h"

namespace fathom {

struct HaltingGateSpec {
  int instance = -1;  // "halting_gate.0"; -1: there is none

  bool is_there() const { return instance >= 0; }
  void check(const PartPlace& place) const;
  // It begins with zeros: all iterations alike, g = 1/2.
  void declare(const PartPlace& place, ParameterList& list) const;
  // A product of one column, once an iteration: not counted, as norms are not.
  void cost(const PartPlace& place, const CostSetting& setting, Cost& cost) const;
};

}  // namespace fathom
