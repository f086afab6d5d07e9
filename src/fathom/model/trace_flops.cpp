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
    w.met = record.met;
    w.read = record.read;
    w.taught = record.taught;
    w.judged = record.judged;
    work.push_back(w);
  }
  return work;
}

double flops_of(const FlopsCounter& counter, const Trace& trace, bool gradients) {
  return counter.of(trace.all->count(), work_of(trace), gradients);
}

}  // namespace fathom
