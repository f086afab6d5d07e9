// Who halts at a readout: the rules of walks.
#include <limits>

#include "fathom/model/walk/advance.h"
#include "fathom/model/walk/loop_rule.h"
#include "fathom/ops/few_rows.h"

namespace fathom {

HaltDecision Advance::decide_at(const StepSpec& spec, StepRecord& record, const Tensor& n_RC,
                                const Tensor& settled_R) {
  const HaltingConfig& config = halting_.config;
  const Rows& rows = *record.rows;
  if (config.rule == HaltRule::kFixed) {
    HaltDecision d;
    const auto number = static_cast<double>(record.layer);
    d.score_R = numbers_like(n_RC, rows.count(), number);
    d.halts_R = at_least(d.score_R, config.threshold_at(static_cast<size_t>(record.layer)));
    d.halts_R = both(d.halts_R, rows.valid_R);
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
  d.halts_R = both(d.halts_R, rows.valid_R);
  return d;
}

// By rules that loops have as well, of the readouts that each row has passed.
HaltDecision Advance::decide_by_memory(const StepSpec& spec, StepRecord& record, const Tensor& n_RC,
                                       const Tensor& settled_R) {
  const HaltingConfig& config = halting_.config;
  const bool of_stream = config.rule == HaltRule::kLatentChange;
  const Tensor state_RC = (of_stream ? carry().r_RC : n_RC).detach();
  IterationEnd seen{halting_, *record.rows, state_RC};
  seen.asked_R = none_of(settled_R);
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
  decision.score_R = known_or(decision.score_R, std::numeric_limits<double>::infinity());
  decision.halts_R = both(decision.halts_R, record.rows->valid_R);
  return decision;
}

}  // namespace fathom
