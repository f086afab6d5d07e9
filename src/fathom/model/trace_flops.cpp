#include "fathom/model/trace_flops.h"

namespace fathom {

std::vector<StepWork> work_of(const Trace& trace) {
  std::vector<StepWork> work;
  work.reserve(trace.steps.size());
  for (const StepRecord& record : trace.steps) {
    StepWork w;
    w.step = record.step;
    w.rows = record.computed;
    w.keys_only = record.keys_only;
    w.keys = static_cast<double>(record.keys) / static_cast<double>(record.rows->batch());
    if (record.reading.prediction_R.defined()) w.read = record.rows->count();
    work.push_back(w);
  }
  return work;
}

double flops_of(const FlopsCounter& counter, const Trace& trace, bool gradients) {
  return counter.of(trace.all->count(), work_of(trace), gradients);
}

}  // namespace fathom
