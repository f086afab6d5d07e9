// Who halts at a readout: the rules of walks.
#include <ATen/ops/full.h>

#include <limits>

#include "fathom/model/walk/advance.h"
#include "fathom/model/walk/loop_rule.h"

namespace fathom {

HaltDecision Advance::decide_at(const StepSpec& spec, StepRecord& record, const Tensor& n_RC,
                                const Tensor& settled_R) {
  const HaltingConfig& config = halting_.config;
  const Rows& rows = *record.rows;
  if (config.rule == HaltRule::kFixed) {
    HaltDecision d;
    const auto number = static_cast<double>(record.layer);
    d.score_R = at::full({rows.count()}, number, n_RC.options().requires_grad(false));
    d.halts_R = d.score_R.ge(config.threshold_at(static_cast<size_t>(record.layer)));
    if (rows.valid_R.defined()) d.halts_R = d.halts_R.logical_and(rows.valid_R);
    return d;
  }
  if (config.rule == HaltRule::kArgmax || !needs_reading(config.rule))
    return decide_by_memory(spec, record, n_RC, settled_R);
  const Tensor ids_R = targets_R_.defined() ? of_rows(targets_R_) : Tensor();
  HaltDecision d = decide(config, static_cast<size_t>(record.layer), record.reading, ids_R,
                          rows.valid_R, options_.training);
  if (config.rule != HaltRule::kBernoulli) return d;
  // By place and position: a text that grows token by token draws what it draws as a whole.
  const Tensor draws_R =
      options_.random.uniform(spec.site("halt", spec.place), rows, 1, d.score_R.to(at::kDouble))
          .squeeze(1);
  d.halts_R = draws_R.lt(d.score_R.to(at::kDouble));
  if (rows.valid_R.defined()) d.halts_R = d.halts_R.logical_and(rows.valid_R);
  return d;
}

// By rules that loops have as well, of the readouts that each row has passed.
HaltDecision Advance::decide_by_memory(const StepSpec& spec, StepRecord& record, const Tensor& n_RC,
                                       const Tensor& settled_R) {
  const HaltingConfig& config = halting_.config;
  const bool of_stream = config.rule == HaltRule::kLatentChange;
  const Tensor state_RC = (of_stream ? carry().r_RC : n_RC).detach();
  IterationEnd seen{halting_, *record.rows, state_RC};
  if (settled_R.defined()) seen.asked_R = settled_R.logical_not();
  seen.read_asked_only = options_.skip;
  seen.reading = record.reading;
  seen.last_norm = [](const Tensor& x_RC) { return x_RC; };  // the head is given n itself
  seen.head = params_.head.at(spec.layer.readout->head);
  seen.temperature = seen.scores_temperature = config.temperature;
  seen.layer = record.layer;
  seen.heads = &params_.head;
  seen.head_number = spec.layer.readout->head;
  const LoopMemory before = state_.travel.readings;
  LoopDecision decision = fathom::decide(seen, state_.travel.readings);
  // Who is not in a loop that is open is not asked: its last readout is an earlier one.
  state_.travel.readings = state_.travel.readings.kept_of(record.away_R, before);
  record.judged += decision.read;
  // Where there was nothing to compare with: no change is that large.
  Tensor& score_R = decision.score_R;
  score_R = score_R.masked_fill(score_R.isnan(), std::numeric_limits<double>::infinity());
  if (record.rows->valid_R.defined())
    decision.halts_R = decision.halts_R.logical_and(record.rows->valid_R);
  return decision;
}

}  // namespace fathom
