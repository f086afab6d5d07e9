// The end of a loop's iteration: who has gone round often enough waits for the others.
#include <fmt/format.h>

#include <limits>

#include "fathom/base/error.h"
#include "fathom/model/walk/advance.h"
#include "fathom/model/walk/loop_rule.h"

namespace fathom {

bool Advance::may_halt(const HaltingPolicy& halting) const {
  return halting.halts() && (halting.in_training || !options_.training);
}

// What the loop's input gave, where the loop's rule compares with it.
void Advance::remember_input() {
  LoopFrame& frame = state_.travel.loops.back();
  const HaltingPolicy& halting = program_.loop_halting(frame.group);
  if (may_halt(halting) && compares_with_input(halting.config.rule))
    frame.memory.input_RC = carry().r_RC.detach();
}

// Of the innermost loop that is open. After its last iteration all rows are there again.
void Advance::end_iteration(const StepSpec& spec, size_t i) {
  const LoopEnd& end = spec.ends[i];
  LoopFrame& frame = state_.travel.loops.back();
  if (options_.observe) show(spec, iteration_name(end.place.group), carry().r_RC, *state_.rows);
  const bool stops = options_.training && program_.loop(end.place.group).stop_probability > 0;
  const bool may_leave = may_halt(program_.loop_halting(end.place.group)) || stops;
  if (trace_ != nullptr && may_leave) {
    const Tensor out_R = either(away(), state_.travel.done_R);
    trace_->iterations.push_back({end.place, end.closes, state_.rows, none_of(out_R)});
  }
  if (may_leave && !end.closes) halt_at_end(spec, i, decide_end(spec, end, frame));
  if (end.closes) close(frame);
}

void Advance::halt_at_end(const StepSpec& spec, size_t i, const Tensor& halts_R) {
  LoopFrame& frame = state_.travel.loops.back();
  const auto keep = [&](Tensor& kept_RC, const Tensor& now_RC) {
    if (now_RC.defined())
      kept_RC = kept_RC.defined() ? where_rows(halts_R, now_RC, kept_RC) : now_RC;
  };
  keep(frame.kept_r_RC, carry().r_RC);
  keep(frame.kept_y_RC, carry().y_RC);
  const Tensor ahead_R = keys_go_ahead(spec) ? frame.left_R : Tensor();
  frame.left_R = either(frame.left_R, halts_R);
  leave_out(spec, place_of_end(spec, i + 1), ahead_R);
}

void Advance::close(const LoopFrame& frame) {
  if (frame.left_R.defined()) {
    carry().r_RC = where_rows(frame.left_R, frame.kept_r_RC, carry().r_RC);
    if (carry().y_RC.defined())
      carry().y_RC = where_rows(frame.left_R, frame.kept_y_RC, carry().y_RC);
    read_rows_.reset();
  }
  state_.travel.loops.pop_back();
  carry().x0_RC.pop_back();
}

Tensor Advance::decide_end(const StepSpec& spec, const LoopEnd& end, LoopFrame& frame) {
  LoopRecord record{spec.index, end.place, state_.rows, {}};
  if (options_.follow != nullptr) {
    for (const LoopRecord& known : options_.follow->loop_ends)
      if (known.step == spec.index && known.place == end.place) return known.decision.halts_R;
    fail(fmt::format("step {} was not walked before", spec.index));
  }
  const LoopPolicy& loop = program_.loop(end.place.group);
  if (may_halt(loop.halting)) record.decision = judge(end, frame);
  Tensor& halts_R = record.decision.halts_R;
  if (options_.training && loop.stop_probability > 0) {
    const Tensor draws_R = options_.random
                               .uniform(spec.site("loop_stop", end.place.group), *state_.rows, 1,
                                        carry().r_RC.detach())
                               .squeeze(1);
    halts_R = either(halts_R, draws_R.lt(loop.stop_probability));
  }
  if (options_.replay_loops != nullptr)
    halts_R = of_rows((*options_.replay_loops)[static_cast<size_t>(end.number)]);
  for (const Tensor& out_R : {away(), state_.travel.done_R})
    halts_R = both(halts_R, none_of(out_R));
  if (trace_ != nullptr) trace_->loop_ends.push_back(record);
  return record.decision.halts_R;
}

// By the loop's rule, which remembers what it will need after the next iteration.
HaltDecision Advance::judge(const LoopEnd& end, LoopFrame& frame) {
  const HaltingPolicy& halting = program_.loop_halting(end.place.group);
  IterationEnd seen{halting, *state_.rows, carry().r_RC.detach()};
  seen.asked_R = state_.rows->valid_R;
  seen.asked_R = both(seen.asked_R, none_of(either(away(), state_.travel.done_R)));
  seen.read_asked_only = options_.skip;
  if (reads_out(halting.config.rule)) {
    if (read_rows_ == state_.rows) seen.reading = last_reading_;
    seen.last_norm = [&](const Tensor& x_RC) {
      return norm(x_RC, params_.norm(end.readout.norm), walk_.settings_);
    };
    seen.head = params_.head.at(end.readout.head);
    seen.temperature = halting_.config.temperature;
  }
  if (halting.config.rule == HaltRule::kLearned)
    seen.gate = params_.halting_gate.at(end.gate.instance);
  const LoopDecision decision = decide(seen, frame.memory);
  // Who has not entered has had no iteration.
  if (frame.outside_R.defined())
    frame.memory = frame.memory.map([&](const Tensor& x) {
      return x.masked_fill(frame.outside_R.unsqueeze(1), std::numeric_limits<double>::quiet_NaN());
    });
  if (trace_ != nullptr && !trace_->steps.empty()) trace_->steps.back().judged += decision.read;
  return decision;
}

}  // namespace fathom
