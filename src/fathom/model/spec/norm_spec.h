// A norm: over the channels of a row, by itself.
#pragma once

#include <optional>
#include <string>

#include "fathom/model/spec/part.h"

namespace fathom {

// A norm by the place that names it and its number there; a last norm may be a block's.
struct NormId {
  enum Place { kIn, kMid, kOut, kDoor, kAfterAttention, kAfterMlp, kLoop };
  Place place = kIn;
  int index = 0;

  std::string name() const;  // "norm_in.3"
  bool operator==(const NormId& o) const { return place == o.place && index == o.index; }
};

struct NormSpec : NormId {
  enum Kind {
    kLayer,  // (x - mean) / sqrt(variance + eps) (Ba et al. 2016)
    kRms,    // x / sqrt(mean of squares + eps) (Zhang and Sennrich 2019)
    kNone,   // x itself
  };
  Kind kind = kLayer;
  bool weight = true;         // times a weight for each channel, which begins as 1
  std::optional<bool> bias;   // plus one; unset: a kLayer with a weight has the backbone's
  std::optional<double> eps;  // unset: the backbone's
  double gain = 1;            // times a number that nobody trains

  NormSpec(Place p = kIn, int i = 0) : NormId{p, i} {}  // {NormId::kMid, 3} is a norm

  void check(const PartPlace& place) const;
  void declare(const PartPlace& place, ParameterList& list) const;
  void cost(const PartPlace& place, const CostSetting& setting, Cost& cost) const;
};

}  // namespace fathom
