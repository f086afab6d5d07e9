#include "fathom/model/spec/halting_gate.h"

#include <fmt/format.h>

namespace fathom {

void HaltingGateSpec::check(const PartPlace& /*place*/) const {}

void HaltingGateSpec::declare(const PartPlace& place, ParameterList& list) const {
  if (!is_there()) return;
  list.begin(fmt::format("halting_gate.{}", instance), Part::kGate);
  list.add("weight", {1, place.width}, zeros_init());
  list.add("bias", {1}, zeros_init());
}

void HaltingGateSpec::cost(const PartPlace& /*place*/, const CostSetting& /*setting*/,
                           Cost& /*cost*/) const {}

}  // namespace fathom
