#include "fathom/train/shift_losses.h"

#include <fmt/format.h>

#include "fathom/data/shifted.h"

namespace fathom {

bool add_shift_losses(const Model& model, const AheadConfig& ahead, const DataAtShift& data,
                      int64_t batches, at::Device device, Precision dtype,
                      const EvaluateOptions& options, Evaluation& evaluation) {
  for (int64_t shift = 0; shift <= ahead.max_shift; ++shift) {
    const std::shared_ptr<const DataSet> at_shift = data(shift);
    const TargetFacts facts = target_facts(*at_shift, batches);
    if (facts.count == 0) continue;  // of rows too short for it
    if (shift == 1) evaluation.metrics["unigram_entropy"] = facts.unigram_entropy;
    double loss = evaluation.loss;
    if (shift != ahead.shift) {
      EvaluateOptions plain = options;
      plain.tokenizer = nullptr;
      const Evaluation e = evaluate(model, *at_shift, batches, device, dtype, plain);
      if (!e.complete) return false;
      loss = e.loss;
    }
    evaluation.metrics[shift == 0 ? "loss_without_shift" : fmt::format("loss_shift/{}", shift)] =
        loss;
  }
  return true;
}

}  // namespace fathom
