#include "fathom/model/loop_metrics.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {
namespace {

// One loop group's iterations, row by row.
class Rounds {
 public:
  Rounds(const LoopPolicy& loop, const Trace& trace, const Tensor& counts_N)
      : loop_(loop),
        counts_N_(counts_N),
        most_N_(most(*trace.all)),
        made_N_(at::zeros({trace.all->count()}, at::TensorOptions(at::kLong))),
        exits_(static_cast<size_t>(loop.count) + 1) {}

  void add(const IterationRecord& r) {
    Tensor rows = r.rows->source();
    if (r.in_R.defined()) rows = rows.masked_select(r.in_R);
    rows = rows.to(at::kCPU);
    made_N_.index_add_(0, rows, at::ones_like(rows));
    if (r.closes) end();
  }

  void put(const std::string& group, std::map<std::string, Metric>& metrics) const {
    metrics[fmt::format("loop_iterations/{}", group)] = {made_, entered_};
    metrics[fmt::format("loop_saved/{}", group)] = {possible_ - made_, possible_};
    for (size_t k = 1; k < exits_.size(); ++k)
      metrics[fmt::format("loop_exits/{}.{}", group, k)] = {exits_[k], entered_};
  }

 private:
  // Iterations of each row if it does not leave.
  Tensor most(const Rows& rows) const {
    const Tensor out_N = at::full({rows.count()}, loop_.count, at::TensorOptions(at::kLong));
    for (size_t b = 0; b < loop_.counts.size(); ++b)
      std::fill(out_N.data_ptr<int64_t>() + rows.offsets()[b],
                out_N.data_ptr<int64_t>() + rows.offsets()[b + 1], loop_.counts[b]);
    return out_N;
  }
  void end() {
    const Tensor entered_N = made_N_.gt(0).logical_and(counts_N_);
    const Tensor made_K = made_N_.masked_select(entered_N);
    for (int64_t i = 0; i < made_K.numel(); ++i)
      ++exits_.at(static_cast<size_t>(made_K.data_ptr<int64_t>()[i]));
    entered_ += static_cast<double>(made_K.numel());
    made_ += static_cast<double>(made_K.sum().item<int64_t>());
    possible_ += static_cast<double>(most_N_.masked_select(entered_N).sum().item<int64_t>());
    made_N_.zero_();
  }

  const LoopPolicy& loop_;
  Tensor counts_N_, most_N_, made_N_;  // on the processor
  std::vector<double> exits_;
  double made_ = 0, entered_ = 0, possible_ = 0;
};

// x (K) at `rows` of so many, zeros elsewhere.
Tensor spread(const Tensor& x_K, const Tensor& rows, int64_t count) {
  return at::zeros({count}, x_K.options().requires_grad(false)).index_copy(0, rows, x_K);
}

// f(tensor) in place of each tensor of a reading.
template <class F>
void each_of(Reading& reading, const F& f) {
  for (Tensor Reading::*of : {&Reading::ln_p_R, &Reading::ln_max_R, &Reading::prediction_R,
                              &Reading::ln_max_confidence_R, &Reading::ln_p_confidence_R})
    if ((reading.*of).defined()) reading.*of = f(reading.*of);
}

// Of rows that are fewer.
void spread(StepRecord& record, const std::shared_ptr<const Rows>& all) {
  const int64_t N = all->count();
  const Tensor rows = record.rows->source();
  each_of(record.reading, [&](const Tensor& x_K) { return spread(x_K, rows, N); });
  const auto mask = rows.options().dtype(at::kBool);
  const Tensor away_K =
      record.away_R.defined() ? record.away_R : at::full({rows.size(0)}, false, mask);
  record.away_R = at::full({N}, true, mask).index_copy(0, rows, away_K);
  record.rows = all;
}

}  // namespace

bool rows_may_leave_loops(const DepthProgram& program) {
  const std::vector<LoopPolicy>& loops = program.policy.loops;
  return std::any_of(loops.begin(), loops.end(), [](const LoopPolicy& l) {
    return l.count > 1 && (l.halting.halts() || !l.counts.empty());
  });
}

std::map<std::string, Metric> loop_metrics(const DepthProgram& program, const Trace& trace,
                                           const Batch& batch,
                                           const std::vector<std::string>& keys) {
  std::map<std::string, Metric> metrics;
  if (trace.iterations.empty() || !batch.targets_BT.defined()) return metrics;
  const at::NoGradGuard no_grad;
  const Tensor counts_N = trace.all->of(batch.targets_BT).ne(-1).to(at::kCPU);
  std::map<int, Rounds> groups;
  for (const IterationRecord& r : trace.iterations)
    groups.try_emplace(r.place.group, program.loop(r.place.group), trace, counts_N)
        .first->second.add(r);
  for (const auto& [group, rounds] : groups) rounds.put(keys.at(size_t(group)), metrics);
  return metrics;
}

void complete(Trace& trace, const DepthProgram& program) {
  if (trace.steps.size() < program.steps.size()) fail("a walk that does not halt has ended early");
  Reading nothing;  // of all rows
  for (StepRecord& record : trace.steps) {
    if (record.readout < 0) continue;
    if (record.rows->count() < trace.all->count()) spread(record, trace.all);
    nothing = record.reading;
  }
  const auto away = trace.all->token_R.options().dtype(at::kBool);
  each_of(nothing, [](const Tensor& x_N) { return at::zeros_like(x_N); });
  for (StepRecord& record : trace.steps) {
    const StepSpec& step = program.steps[static_cast<size_t>(record.step)];
    if (step.readout < 0 || record.readout >= 0) continue;  // else nobody was there
    record.readout = step.readout;
    record.layer = step.layer.readout->layer;
    record.reading = nothing;
    record.away_R = at::full({trace.all->count()}, true, away);
    record.rows = trace.all;
  }
}

}  // namespace fathom
