// What the tests of parts share: plans of one layer, and the parameters that they have.
#pragma once

#include <gtest/gtest.h>

#include <map>

#include "config/config_testing.h"
#include "fathom/model/spec/parameter_table.h"
#include "spec/plans.h"

namespace fathom::testing {

constexpr int64_t kPartsVocab = 10;

inline BackboneConfig parts_backbone(bool bias = false) {
  BackboneConfig b;
  b.n_layer = b.n_head = 2;
  b.n_embd = 8;
  b.block_size = 6;
  b.bias = bias;
  return b;
}

using Shape = std::vector<int64_t>;
using Shapes = std::map<std::string, Shape>;

// Of the parameters whose names begin like this.
inline Shapes shapes(const DepthPlan& plan, const std::string& prefix, bool bias = false) {
  Shapes out;
  for (const ParameterSpec& spec : parameter_table(plan, parts_backbone(bias), kPartsVocab))
    if (spec.name.rfind(prefix, 0) == 0) out[spec.name.substr(prefix.size())] = spec.shape;
  return out;
}

inline Flops flops_of(const DepthPlan& plan) {
  return flops_per_token(plan, unroll(plan), parts_backbone(), kPartsVocab, 6);
}

inline std::string refused(const DepthPlan& plan) {
  const Error e = refusal_of([&] { check_plan(plan); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  EXPECT_FALSE(e.hint().empty()) << e.what();
  return e.what();
}

}  // namespace fathom::testing
