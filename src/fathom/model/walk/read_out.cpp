// The end of a step: what is read of its state, and who halts by that.
#include <ATen/ops/full.h>

#include <limits>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/model/walk/advance.h"
#include "fathom/model/walk/loop_rule.h"

namespace fathom {

// The reading after a step and, with a halting rule, the decision that follows from it.
void Advance::read_out(const StepSpec& spec, StepRecord& record) {
  const ReadoutSpec& readout_spec = *spec.layer.readout;
  const Rows& rows = *record.rows;
  record.readout = spec.readout;
  record.layer = readout_spec.layer;
  const bool follows = options_.follow != nullptr;
  if (follows)
    record.decision.halts_R =
        options_.follow->steps.at(static_cast<size_t>(spec.index)).decision.halts_R;
  const bool halts = halting_.halts() && !follows;
  const bool decides = halts || (halting_.logs() && options_.read && !follows);
  const bool reads = options_.read || (halts && needs_reading(halting_.config.rule));
  // A skipping walk asks no row whose answer is settled, or that is not in the loop.
  const Tensor settled_R = options_.skip ? either(record.done_R, record.away_R) : Tensor();
  Tensor n_RC;
  if (options_.observe || reads || decides) {
    n_RC = norms_.of(carry().r_RC, readout_spec.norm, params_);
    if (options_.observe) show(spec, "head", n_RC, rows);
    if (reads) record.reading = reading(spec, record, n_RC, settled_R);
  }
  if (!decides) return;
  HaltDecision& decision = halts ? record.decision : record.logged;
  decision = decide_at(spec, record, n_RC, settled_R);
  Tensor& halts_R = decision.halts_R;
  if (halts && options_.replay != nullptr)
    halts_R = of_rows((*options_.replay)[static_cast<size_t>(record.readout)]);
  for (const Tensor& not_R : {record.away_R, settled_R})
    if (not_R.defined()) halts_R = halts_R.logical_and(not_R.logical_not());
}

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

Reading Advance::reading(const StepSpec& spec, StepRecord& record, const Tensor& n_RC,
                         const Tensor& settled_R) const {
  ReadoutRequest request;
  if (targets_R_.defined()) request.ids_R = of_rows(targets_R_);
  request.confidence_temperature = halting_.config.temperature;
  request.grad_of_max = options_.grad_of_max;
  const LinearParams& head = params_.head.at(spec.layer.readout->head);
  // A gradient made now is there until backward; beside one that is there already (of another pass
  // of the step, or of a head that reads several times) it would be memory for nothing.
  const bool has_gradient = head.weight.is_leaf() && head.weight.grad().defined();
  if (options_.row_weights && !has_gradient && reads_.at(spec.layer.readout->head) == 1)
    request.weight_R = options_.row_weights(record);
  record.read = n_RC.size(0);
  if (!settled_R.defined()) return readout(n_RC, head, request);
  const Tensor open = settled_R.logical_not().nonzero().squeeze(1);
  record.read = open.numel();
  if (record.read == n_RC.size(0)) return readout(n_RC, head, request);
  return readout_of_some(n_RC, open, head, request);
}

// What follows from a decision at a readout.
void Advance::halt(const StepSpec& spec, const Tensor& halts_R) {
  Travel& travel = state_.travel;
  if (options_.skip && halting_.keys == KeyFate::kHidden) {
    state_.split(halts_R.logical_not());
    return;
  }
  travel.done_R = either(travel.done_R, halts_R);
  if (halting_.keys == KeyFate::kHidden)
    travel.hidden_R = halting_.history == MaskHistory::kCumulative ? travel.done_R : halts_R;
  leave_out(spec, place_of_end(spec, 0));
}

}  // namespace fathom
