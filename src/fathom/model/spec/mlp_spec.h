// An MLP: a row by itself, through a hidden layer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fathom/model/spec/part.h"

namespace fathom {

// down(act(up(x))), or with a gate down(act(gate(x)) * up(x)) (Shazeer 2020).
struct MlpSpec {
  enum Act {
    kOfBackbone,  // BackboneConfig::activation
    kGelu,
    kGeluTanh,
    kRelu,
    kReluSquared,
    kSilu,
    kSigmoid,
    kTanh,
  };
  int instance = 0;
  double hidden = 4;  // width of the hidden layer in units of C, which has at least one channel
  Act act = kOfBackbone;
  bool gated = false;
  std::optional<bool> bias;  // unset: the backbone's

  MlpSpec(int i = 0) : instance(i) {}  // a number is GPT-2's MLP

  std::string name() const;  // "mlp.3"
  int64_t hidden_width(int64_t C) const;

  void check(const PartPlace& place) const;
  void declare(const PartPlace& place, ParameterList& list) const;
  void cost(const PartPlace& place, const CostSetting& setting, Cost& cost) const;
};

}  // namespace fathom
