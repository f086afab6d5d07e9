// Rules of halting by which the properties of all presets are looked at, beside the largest
// probability and the target's.
#pragma once

#include "fathom/model/spec/halting_config.h"

namespace fathom::property {

struct HaltingCase {
  const char* name;
  void (*change)(HaltingConfig&);
};

// Of a model whose layers all answer; each rule's scores lie on both sides of its threshold.
inline const HaltingCase kHaltingCases[] = {
    {"bernoulli, cap",
     [](HaltingConfig& h) {
       h.rule = HaltRule::kBernoulli;
       h.cap = 0.4;
     }},
    {"kl",
     [](HaltingConfig& h) {
       h.rule = HaltRule::kKl;
       h.threshold = 0.3;
     }},
    {"converge, frozen",
     [](HaltingConfig& h) {
       h.rule = HaltRule::kConverge;
       h.threshold = 0.5;
       h.keys = HaltKeys::kFrozen;
     }},
    {"entropy, only logged",
     [](HaltingConfig& h) {
       h.rule = HaltRule::kLowEntropy;
       h.threshold = 1.5;
       h.use = HaltUse::kLog;
     }},
};

}  // namespace fathom::property
