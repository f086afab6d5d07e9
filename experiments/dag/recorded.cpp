#include "experiments/dag/recorded.h"

#include <fmt/format.h>

#include "experiments/dag/records.h"
#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom::dag {
namespace {

// The last step that shows `name`; -1: none.
int last_step(const Kept& kept, int steps, const std::string& name) {
  int step = steps - 1;
  while (step >= 0 && !kept.at(step, name).defined()) --step;
  return step;
}

}  // namespace

Tensor Recorded::op_RDN(const DagSettings& settings) const {
  return op_RX.view({op_RX.size(0), settings.depth, int64_t(settings.operations.size())});
}

std::vector<std::string> recorded_names(const DagSettings& settings, bool predictor) {
  std::vector<const char*> names;
  if (settings.depth == 0) return {};
  const bool is_linear = settings.domain == Domain::kLinear;
  names = is_linear ? std::vector{kReal} : std::vector{kSign, kLog, kSignLogits, kLogLogits};
  names.insert(names.end(), {kOp, kOpLogits});
  if (settings.executor == Executor::kScratch) names.insert(names.end(), {kOperand1, kOperand2});
  if (!predictor) {
    if (is_linear)
      names.push_back(kStepReal);
    else
      names.insert(names.end(), {kStepSign, kStepLog});
    names.insert(names.end(), {kCounts, kHidden, kOriginal, kMixed});
    if (settings.fold == Fold::kGate) names.push_back(kGate);
  }
  std::vector<std::string> seen;
  for (const char* name : names) seen.push_back(seen_name(name));
  return seen;
}

Recorded recorded(const Kept& kept, int steps, const DagSettings& settings, bool predictor) {
  const int step = last_step(kept, steps, seen_name(kOp));
  const auto get = [&](const char* what) {
    const Tensor x = kept.at(step, seen_name(what));
    if (!x.defined())
      fail(fmt::format("the walk shows no {}, which losses and logs of the DAG read",
                       in_quotes(seen_name(what))),
           "F.dag records it where these settings have it (experiments/dag/records.h)");
    return x;
  };
  Recorded seen;
  const auto numbers = [&](const char* real, const char* sign, const char* log) {
    Numbers x;
    if (settings.domain == Domain::kLinear)
      x.real = get(real);
    else
      x.sign = get(sign), x.log = get(log);
    return x;
  };
  seen.op_RX = get(kOp);
  seen.op_logits_RX = get(kOpLogits);
  seen.values_RV = numbers(kReal, kSign, kLog);
  if (settings.domain == Domain::kSignLog)
    seen.sign_logits_RV = get(kSignLogits), seen.log_logits_RV = get(kLogLogits);
  if (settings.executor == Executor::kScratch)
    seen.operand1_RX = get(kOperand1), seen.operand2_RX = get(kOperand2);
  if (predictor) return seen;
  seen.steps_RD = numbers(kStepReal, kStepSign, kStepLog);
  seen.counts_RX = get(kCounts);
  seen.hidden_RH = get(kHidden);
  seen.original_RH = get(kOriginal);
  seen.mixed_RH = get(kMixed);
  if (settings.fold == Fold::kGate) seen.gate_R1 = get(kGate);
  return seen;
}

}  // namespace fathom::dag
