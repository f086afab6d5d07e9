#include "fathom/model/spec/mlp_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr double kMostHidden = 65536;

}  // namespace

std::string MlpSpec::name() const {
  return fmt::format("mlp.{}", instance);
}

int64_t MlpSpec::hidden_width(int64_t C) const {
  return std::max<int64_t>(1, std::llround(hidden * static_cast<double>(C)));
}

void MlpSpec::check(const PartPlace& /*place*/) const {
  if (!(hidden > 0 && hidden <= kMostHidden))
    misuse(fmt::format("{} has a hidden layer {} times as wide as the stream", name(), hidden),
           fmt::format("take more than 0 and at most {}", kMostHidden));
}

void MlpSpec::declare(const PartPlace& place, ParameterList& list) const {
  const int64_t C = place.width, F = hidden_width(C);
  const bool has_bias = bias.value_or(list.backbone().bias);
  list.begin(name(), Part::kMlp);
  if (gated) list.linear("gate", F, C, has_bias);
  list.linear("up", F, C, has_bias);
  list.linear("down", C, F, has_bias, /*residual=*/true);
}

void MlpSpec::cost(const PartPlace& place, const CostSetting& /*setting*/, Cost& cost) const {
  const auto C = static_cast<double>(place.width);
  const auto F = static_cast<double>(hidden_width(place.width));
  cost.flops.mlp += 2 * ((gated ? 3 : 2) * C * F);
  // The hidden layer before and after its activation; with a gate the gate, that activated, what it
  // meets and their product.
  cost.kept += (gated ? 4 : 2) * F;
}

}  // namespace fathom
