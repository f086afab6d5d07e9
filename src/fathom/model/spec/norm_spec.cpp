#include "fathom/model/spec/norm_spec.h"

#include <fmt/format.h>

#include <cmath>

#include "fathom/base/error.h"

namespace fathom {

std::string NormId::name() const {
  const char* places[] = {"in", "mid", "out", "door", "attention", "mlp", "loop"};
  return fmt::format("norm_{}.{}", places[place], index);
}

void NormSpec::check(const PartPlace& /*place*/) const {
  if (eps && !(*eps > 0 && *eps < 1))
    misuse(fmt::format("{} has eps = {}", name(), *eps), "eps is between 0 and 1");
  if (!(std::isfinite(gain) && gain != 0))
    misuse(fmt::format("{} is multiplied by {}", name(), gain), "a gain is finite and not 0");
}

void NormSpec::declare(const PartPlace& at, ParameterList& list) const {
  const char* kinds[] = {"layer", "rms", "none"};
  // Of one that has no tensors nothing else would tell two widths apart.
  const bool bare = kind != kNone && !weight;
  list.begin(name(), Part::kNorm,
             fmt::format("{}, eps {}{}{}", kinds[kind], eps.value_or(list.backbone().norm_eps),
                         gain == 1 ? "" : fmt::format(", times {}", gain),
                         bare ? fmt::format(", {} wide", at.width) : ""));
  if (kind == kNone) return;
  if (weight) list.add("weight", {at.width}, ones_init());
  if (bias.value_or(kind == kLayer && weight && list.backbone().bias))
    list.add("bias", {at.width}, zeros_init());
}

void NormSpec::cost(const PartPlace& at, const CostSetting& /*setting*/, Cost& cost) const {
  if (kind != kNone) cost.kept += 2 * static_cast<double>(at.width);  // input and output
}

}  // namespace fathom
