#include "fathom/model/trace_flops.h"

#include <cmath>

#include "fathom/model/spec/parameter_table.h"

namespace fathom {

double flops_of(const DepthWalk& walk, const DepthProgram& program, const Trace& trace,
                bool gradients) {
  const int64_t vocab_size =
      walk.params().head.empty() ? 0 : walk.params().head.begin()->second.weight.size(0);
  const FlopsCounter counter(walk.plan(), walk.backbone(), vocab_size);
  const double times = gradients ? 3 : 1;
  double flops = times * counter.of_stem(trace.all->count()).forward();
  for (const StepRecord& record : trace.steps) {
    StepWork work;
    work.rows = record.computed;
    work.keys_only = record.rows->count() - record.computed;
    const auto B = static_cast<double>(record.rows->batch());
    work.keys = static_cast<int64_t>(std::llround(static_cast<double>(record.keys) / B));
    if (record.reading.prediction_R.defined()) work.read = record.rows->count();
    const StepSpec& step = program.steps[static_cast<size_t>(record.step)];
    flops += (step.grad ? times : 1) * counter.of_step(step, work).forward();
  }
  return flops;
}

}  // namespace fathom
