#include "fathom/model/counted_rows.h"

#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>

#include "fathom/model/walk_signals.h"

namespace fathom {

Ground ground_of(TermRule::Per per, const Rows& rows, const Batch& batch) {
  Ground ground;
  const Tensor has_target_R = rows.of(batch.targets_BT).ne(-1);
  if (batch.weight_BT.defined()) ground.weight_R = rows.of(batch.weight_BT);
  if (per != TermRule::kValid && per != TermRule::kNext) {
    ground.open_R = has_target_R;
    return ground;
  }
  ground.open_R = per == TermRule::kNext   ? next_rows(rows).has_R
                  : rows.valid_R.defined() ? rows.valid_R
                                           : at::ones_like(has_target_R);
  // A weight is a target's.
  if (ground.weight_R.defined())
    ground.weight_R = at::where(has_target_R, ground.weight_R, at::ones_like(ground.weight_R));
  return ground;
}

double count_of(TermRule::Per per, const Batch& batch) {
  if (per != TermRule::kValid && per != TermRule::kNext) return target_count(batch);
  const Ground ground = ground_of(per, Rows(batch), batch);
  if (!ground.weight_R.defined()) return ground.open_R.sum().item<double>();
  return ground.weight_R.masked_fill(ground.open_R.logical_not(), 0).sum().item<double>();
}

double target_count(const Batch& batch) {
  const Tensor has_target = batch.targets_BT.ne(-1);
  if (!batch.weight_BT.defined()) return has_target.sum().item<double>();
  return batch.weight_BT.masked_fill(has_target.logical_not(), 0).sum().item<double>();
}

Tensor OpenRows::at(size_t step, const Tensor& ground_R) const {
  Tensor open_R = ground_R;
  const Tensor& away_R = trace_.steps[step].away_R;
  if (away_R.defined()) open_R = open_R.logical_and(away_R.logical_not());
  if (!term_.last_reading) return open_R;
  const Tensor later_R = read_later(step, ground_R);
  return later_R.defined() ? open_R.logical_and(later_R.logical_not()) : open_R;
}

bool OpenRows::is_passed_over(size_t step) const {
  if (!term_.last_reading) return false;
  for (size_t later = step + 1; later < trace_.steps.size(); ++later)
    if (reads_again(step, later) && !trace_.steps[later].away_R.defined()) return true;
  return false;
}

bool OpenRows::reads_again(size_t step, size_t later) const {
  const StepRecord& record = trace_.steps[later];
  return record.readout >= 0 && record.layer == trace_.steps[step].layer;
}

// The rows that the step's layer reads again, bool; undefined: none.
Tensor OpenRows::read_later(size_t step, const Tensor& like_R) const {
  Tensor later_R;
  for (size_t later = step + 1; later < trace_.steps.size(); ++later) {
    if (!reads_again(step, later)) continue;
    const Tensor& away_R = trace_.steps[later].away_R;
    later_R = either(later_R, away_R.defined() ? away_R.logical_not() : at::ones_like(like_R));
  }
  return later_R;
}

}  // namespace fathom
