#include "fathom/model/spec/flops_counter.h"

#include <type_traits>

#include "fathom/model/spec/each_part.h"

namespace fathom {

FlopsCounter::FlopsCounter(const DepthPlan& plan, const DepthProgram& program,
                           const BackboneConfig& backbone, int64_t vocab_size) {
  const auto price = [&](const auto& part, const PartPlace& place, int64_t keys) {
    Cost cost;
    part.cost(place, {backbone, vocab_size, keys}, cost);
    return cost.flops.forward();
  };
  each_call_of_stem(
      plan, [&](const auto& part, const PartPlace& place, int) { stem_ += price(part, place, 0); });
  std::vector<WiringParts> called;
  for (const Wiring& wiring : plan.wirings) called.push_back(check_wiring(wiring));
  for (const StepSpec& step : program.steps) {
    Prices p;
    p.grad = step.grad;
    each_call(plan, step.layer, called.at(static_cast<size_t>(step.layer.wiring)),
              [&](const auto& part, const PartPlace& place, int calls) {
                using P = std::decay_t<decltype(part)>;
                const double row = price(part, place, 0), pair = price(part, place, 1) - row;
                (std::is_same_v<P, ReadoutSpec> ? p.read : p.row) += calls * row;
                bool grad = step.grad;
                if constexpr (std::is_same_v<P, Injection>) grad = part.grad;
                if (grad && !std::is_same_v<P, ReadoutSpec>) p.row_with_gradient += calls * row;
                p.pair += calls * pair;
                if constexpr (std::is_same_v<P, AttentionSpec>)
                  p.keys_only += calls * part.flops_of_keys(place);
              });
    const ReadoutSpec* judge = step.layer.readout ? &*step.layer.readout : nullptr;
    if (!step.ends.empty() && step.ends.front().reads) judge = &step.ends.front().readout;
    if (judge != nullptr) {
      PartPlace place = parts::place_in(plan);
      place.width = step.layer.width;
      p.judged = price(*judge, place, 0);
    }
    steps_.push_back(p);
  }
}

double FlopsCounter::of(int64_t rows, const std::vector<StepWork>& work, bool gradients) const {
  const double backward = gradients ? 2 : 0;  // times the forward pass
  double flops = (1 + backward) * stem_ * static_cast<double>(rows);
  for (const StepWork& w : work) {
    const Prices& p = steps_.at(static_cast<size_t>(w.step));
    const auto rows_here = static_cast<double>(w.rows);
    const double others = w.met * p.pair + static_cast<double>(w.keys_only) * p.keys_only;
    const double read = static_cast<double>(w.read) * p.read;
    const double back = others + (w.taught ? read : 0);
    flops += rows_here * p.row + others + read +
             backward * (rows_here * p.row_with_gradient + (p.grad ? back : 0));
    flops += static_cast<double>(w.judged) * p.judged;  // nothing learns from it
  }
  return flops;
}

}  // namespace fathom
