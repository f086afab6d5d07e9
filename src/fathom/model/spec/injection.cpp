#include "fathom/model/spec/injection.h"

#include <fmt/format.h>

#include <cmath>

#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr double kTableStd = 0.02;  // GPT-2

}  // namespace

std::string position_table_name(int instance) {
  return instance == 0 ? "position_table" : fmt::format("position_table.{}", instance);
}

void Injection::check(const PartPlace& place) const {
  const bool numbered = kind == kGate || kind == kTokenTable || kind == kPositionTable;
  if (numbered && instance < 0)
    misuse("an injection of a table or a gate does not say which", "instances count from 0");
  if ((kind == kScale || kind == kNoise) && !(std::isfinite(amount) && amount != 0))
    misuse(fmt::format("an injection scales or adds noise by {}", amount),
           "leave it out, or give it a number other than 0");
  if (kind == kNorm) norm.check(place);
}

void Injection::declare(const PartPlace& place, ParameterList& list) const {
  const int64_t C = place.width;
  const bool gpt2 = list.backbone().init == Init::kGpt2;
  switch (kind) {
    case kGate:
      list.begin(fmt::format("gate.{}", instance), Part::kGate);
      return list.linear("", 1, C, true);
    case kLoopInput:
      if (instance < 0) return;
      list.begin(fmt::format("adapter.{}", instance), Part::kAdapter);
      return list.linear("", C, 2 * C, true);
    case kTokenTable:
      list.begin(fmt::format("token_table.{}", instance), Part::kTokenTable);
      return list.add("weight", {list.vocab_size(), C}, normal_init(gpt2 ? kTableStd : 1.0));
    case kPositionTable: {
      list.begin(position_table_name(instance), Part::kPositionTable);
      // Rows that multiply begin near 1 only where they are all 1.
      const InitRule added = gpt2 ? normal_init(kTableStd) : zeros_init();
      return list.add("weight", {list.backbone().block_size, C},
                      meeting == kMultiply ? ones_init() : added);
    }
    case kNorm:
      return norm.declare(place, list);
    case kOpenLoop:
    case kWiden:
    case kScale:
    case kNoise:
      return;
  }
}

void Injection::cost(const PartPlace& place, const CostSetting& setting, Cost& cost) const {
  const auto C = static_cast<double>(place.width);
  if (kind == kGate) cost.flops.doors += 2 * C;
  if (kind == kLoopInput && instance >= 0) cost.flops.doors += 2 * C * 2 * C;
  if (kind == kNorm) norm.cost(place, setting, cost);
  const bool table = kind == kTokenTable || kind == kPositionTable;
  if (table && meeting == kMultiply) cost.kept += 2 * C;
}

}  // namespace fathom
