#include "fathom/model/spec/readout_spec.h"

#include <fmt/format.h>

namespace fathom {

void ReadoutSpec::check(const PartPlace& /*place*/) const {}

void ReadoutSpec::declare(const PartPlace& place, ParameterList& list) const {
  if (place.tied_heads) return;  // a token table is the head
  list.begin(fmt::format("head.{}", head), Part::kHead);
  list.linear("", list.vocab_size(), place.width, list.backbone().head_bias,
              head_init(list.backbone(), place.width, list.effective_layers()));
}

void ReadoutSpec::cost(const PartPlace& place, const CostSetting& setting, Cost& cost) const {
  const auto C = static_cast<double>(place.width), V = static_cast<double>(setting.vocab_size);
  cost.flops.head += 2 * C * V;
  cost.kept += 3 * V;  // logits, their log-softmax, and its gradient
}

}  // namespace fathom
