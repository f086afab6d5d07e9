// A layer's answer: its last norm and its head.
#pragma once

#include "fathom/model/spec/norm_spec.h"

namespace fathom {

struct ReadoutSpec {
  int head = 0;  // instance
  NormSpec norm;
  int layer = 0;  // number that thresholds, loss weights and metrics know it by

  // Of the head alone; the norm is a part by itself.
  void check(const PartPlace& place) const;
  void declare(const PartPlace& place, ParameterList& list) const;
  void cost(const PartPlace& place, const CostSetting& setting, Cost& cost) const;
};

}  // namespace fathom
