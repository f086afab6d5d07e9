#include "fathom/model/spec/injection.h"

#include <fmt/format.h>

#include <cmath>

#include "fathom/base/error.h"

namespace fathom {
namespace {

// [I, 0] or [I/2, I/2] over [x0; state], or as other weights begin.
InitRule adapter_rule(AdapterInit init, int64_t in, const ParameterList& list) {
  switch (init) {
    case AdapterInit::kIdentity:
      return diagonal_init(1, 0);
    case AdapterInit::kHalf:
      return diagonal_init(0.5, 0.5);
    case AdapterInit::kNormal:
      break;
  }
  return linear_init(list.backbone(), in);
}

}  // namespace

std::string position_table_name(int instance) {
  return instance == 0 ? "position_table" : fmt::format("position_table.{}", instance);
}

void Injection::check(const PartPlace& place) const {
  const bool numbered =
      kind == kGate || kind == kTokenTable || kind == kPositionTable || kind == kLoopSignal;
  if (numbered && instance < 0)
    misuse("an injection of a table or a gate does not say which", "instances count from 0");
  if ((kind == kScale || kind == kNoise) && !(std::isfinite(amount) && amount != 0))
    misuse(fmt::format("an injection scales or adds noise by {}", amount),
           "leave it out, or give it a number other than 0");
  if (kind == kNorm) norm.check(place);
  if (kind == kLoopSignal && rows < 1)
    misuse(fmt::format("a loop's signal has {} rows", rows), "give it one for each iteration");
}

void Injection::declare(const PartPlace& place, ParameterList& list) const {
  const int64_t C = place.width;
  switch (kind) {
    case kGate:
      list.begin(fmt::format("gate.{}", instance), Part::kGate);
      return list.linear("", 1, C, true);
    case kLoopInput:
      if (instance < 0) return;
      list.begin(fmt::format("adapter.{}", instance), Part::kAdapter);
      return list.linear("", C, 2 * C, true, adapter_rule(adapter_init, 2 * C, list));
    case kLoopSignal:
      list.begin(fmt::format("loop_signal.{}", instance), Part::kSignal);
      if (meeting == kMultiply) return list.add("weight", {rows, 1}, ones_init(), false);
      return list.add("weight", {rows, C}, zeros_init());
    case kTokenTable:
      list.begin(fmt::format("token_table.{}", instance), Part::kTokenTable);
      return list.add("weight", {list.vocab_size(), C},
                      token_init(list.backbone(), place.tied_heads, list.effective_layers()));
    case kPositionTable: {
      list.begin(position_table_name(instance), Part::kPositionTable);
      // Rows that multiply begin near 1 only where they are all 1.
      const InitRule added = position_init(list.backbone());
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
  const bool table = kind == kTokenTable || kind == kPositionTable || kind == kLoopSignal;
  if (table && meeting == kMultiply) cost.kept += 2 * C;
}

}  // namespace fathom
