#include "fathom/model/walk/advance.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/model/spec/loop_counts.h"
#include "fathom/model/walk/graph.h"

namespace fathom {
namespace {

// bool of each row, of what its sequence has.
Tensor by_sequence(const Rows& rows, const std::function<bool(size_t)>& holds) {
  const Tensor out_R = at::empty({rows.count()}, at::TensorOptions(at::kBool));
  for (size_t b = 0; b < static_cast<size_t>(rows.batch()); ++b)
    std::fill(out_R.data_ptr<bool>() + rows.offsets()[b],
              out_R.data_ptr<bool>() + rows.offsets()[b + 1], holds(b));
  return out_R.to(rows.token_R.device());
}

}  // namespace

void Advance::show(const StepSpec& spec, std::string_view name, const Tensor& x,
                   const Rows& rows) const {
  options_.observe.see({spec, name, x, rows, state_});
}

// The batch's values at the rows that are there, which may be others than the batch's: those of a
// cache count as its first.
Tensor Advance::of_rows(const Tensor& x_BT) const {
  const Rows& rows = *state_.rows;
  return options_.cache == nullptr ? rows.of(x_BT)
                                   : x_BT.reshape({x_BT.numel()}).index_select(0, rows.source());
}

Advance::Advance(const DepthWalk& walk, const DepthProgram& program, WalkState& state,
                 const Tensor& targets_R, const WalkOptions& options, Trace* trace)
    : walk_(walk),
      program_(program),
      state_(state),
      targets_R_(targets_R),
      options_(options),
      trace_(trace),
      params_(options.params != nullptr ? *options.params : walk.params_),
      halting_(program.policy.halting),
      norms_(walk.settings_) {
  for (const StepSpec& step : program.steps)
    if (step.layer.readout && use_of(step) == ReadoutUse::kTaught)
      ++taught_[step.layer.readout->head];
  if (options.skip && halting_.halts() && halting_.history != MaskHistory::kCumulative)
    fail("rows cannot leave the walk with mask_history = previous",
         "a token that may come back has to be computed; take mask_history = cumulative");
  const std::vector<LoopPolicy>& loops = program.policy.loops;
  const bool may_leave_loops = std::any_of(loops.begin(), loops.end(), [](const LoopPolicy& l) {
    return l.halting.halts() || !l.counts.empty();
  });
  // Who waits inside a loop would be passed by a later row that leaves it earlier.
  if (options.cache != nullptr && options.skip && halting_.halts() && may_leave_loops &&
      halting_.keys == KeyFate::kFilledLater)
    fail("keys cannot be filled later in a cache while rows leave loops",
         "compute halted rows on at once: KeyFate::kSeen gives the same");
  if (options.cache != nullptr) refuse_sequences(program.policy);
  if (options.cache != nullptr && !walk.plan_.causal)
    fail("a walk that is not causal has no use for earlier keys", "compute the whole text anew");
}

void Advance::run(size_t last) {
  for (size_t i = state_.next.step; i < last; ++i) {
    const bool comes_back = std::any_of(state_.waiting.begin(), state_.waiting.end(),
                                        [](const WaitingRows& w) { return !w.on_demand; });
    if (nobody() && !comes_back) break;
    step(program_.steps[i]);
  }
  state_.next = {last, 0};
}

void Advance::step(const StepSpec& spec) {
  state_.next = {static_cast<size_t>(spec.index), 0};
  StepRecord record;
  record.step = spec.index;
  if (options_.observe) show(spec, "door", carry().r_RC, *state_.rows);
  join(state_.next);
  const bool cuts = spec.layer.cut || (spec.layer.cut_later && spec.index > 0);
  if (cuts && options_.cut && !nobody()) carry() = carry().detached();
  // For rows that stand still, enter late, or join within the door.
  if (state_.travel.done_R.defined() || !spec.path.empty() || spec.layer.door.size() > 1) {
    state_.travel.door_r_RC = carry().r_RC;
    state_.travel.door_y_RC = carry().y_RC;
  }
  pass_door(spec);
  const GraphIf graph(spec.grad);
  record.rows = state_.rows;
  if (!nobody()) {
    record.hidden_R = hidden();
    record.done_R = state_.travel.done_R;
    record.away_R = away();
    block(spec, record);
    stand_still();
  }
  state_.travel.door_r_RC = state_.travel.door_y_RC = Tensor();
  if (!nobody()) {
    if (spec.layer.readout) read_out(spec, record);
  }
  const Tensor halts_R = record.decision.halts_R;
  last_reading_ = record.readout >= 0 ? record.reading : Reading();
  read_rows_ = record.rows;
  if (trace_ != nullptr) trace_->steps.push_back(std::move(record));
  if (halts_R.defined()) halt(spec, halts_R);
  for (size_t i = 0; i < spec.ends.size(); ++i) {
    join(place_of_end(spec, i));
    if (!nobody()) end_iteration(spec, i);
  }
}

// Masks of the rows that are there, undefined: none of them.

Tensor Advance::hidden() const {
  Tensor hidden_R = state_.travel.hidden_R;
  for (const LoopFrame& loop : state_.travel.loops) {
    hidden_R = either(hidden_R, loop.outside_R);
    if (fate(loop) == KeyFate::kHidden) hidden_R = either(hidden_R, loop.left_R);
  }
  return hidden_R;
}

Tensor Advance::away() const {
  Tensor away_R;
  for (const LoopFrame& loop : state_.travel.loops)
    away_R = either(away_R, either(loop.outside_R, loop.left_R));
  return away_R;
}

void Advance::pass_door(const StepSpec& spec) {
  Tensor gate_R1;
  const std::vector<Injection>& door = spec.layer.door;
  for (size_t i = 0; i < door.size(); ++i) {
    const Injection& injection = door[i];
    const GraphIf graph(injection.grad);
    if (i > 0) join({state_.next.step, static_cast<int>(i)});
    if (nobody()) continue;
    if (injection.kind == Injection::kLoopInput) enter_late(injection);
    const Tensor r_RC = injection.newcomers_only ? carry().r_RC : Tensor();
    DoorSite site{spec.layer.width, &spec, static_cast<int>(i), options_.training};
    if ((injection.kind == Injection::kLoopSignal || injection.cut_state) &&
        injection.loop.late > 0)
      site.iteration_R = own_iterations(injection.loop);
    carry() = inject(injection, site, params_, *state_.rows, std::move(carry()), gate_R1,
                     options_.random, walk_.settings_);
    if (injection.kind == Injection::kLoopInput) remember_input();
    if (injection.newcomers_only) carry().r_RC = where_rows(newcomers(spec), carry().r_RC, r_RC);
    if (injection.kind == Injection::kOpenLoop) open_loop(spec, injection);
  }
}

// Of each row, by when its sequence enters.
Tensor Advance::own_iterations(const LoopPlace& place) const {
  std::vector<int64_t> iterations(static_cast<size_t>(state_.rows->count()));
  for (size_t b = 0; b < static_cast<size_t>(state_.rows->batch()); ++b)
    std::fill(iterations.begin() + state_.rows->offsets()[b],
              iterations.begin() + state_.rows->offsets()[b + 1],
              place.iteration - first_iteration(place.group, b));
  return index_tensor(iterations, state_.rows->token_R.device());
}

// Rows whose first iteration this is, of all loops that are open.
Tensor Advance::newcomers(const StepSpec& spec) const {
  return by_sequence(*state_.rows, [&](size_t b) {
    return std::all_of(spec.path.begin(), spec.path.end(), [&](const LoopPlace& p) {
      return p.iteration == first_iteration(p.group, b);
    });
  });
}

int64_t Advance::first_iteration(int group, size_t sequence) const {
  const auto g = static_cast<size_t>(group);
  if (g >= program_.policy.loops.size()) return 0;
  const LoopPolicy& loop = program_.policy.loops[g];
  return loop.counts.empty() ? 0 : loop.count - loop.counts.at(sequence);
}

void Advance::open_loop(const StepSpec& spec, const Injection& open) {
  LoopFrame frame;
  frame.group = open.loop.group;
  const auto g = static_cast<size_t>(frame.group);
  const bool uneven = g < program_.policy.loops.size() && !program_.policy.loops[g].counts.empty();
  if (uneven) {
    const auto known = static_cast<int64_t>(program_.policy.loops[g].counts.size());
    if (known != state_.rows->batch())
      fail(fmt::format("the loop of {} has counts for {} sequences, the batch has {}",
                       loop_group_names(walk_.plan_).at(g), known, state_.rows->batch()));
    frame.outside_R =
        by_sequence(*state_.rows, [&](size_t b) { return first_iteration(frame.group, b) > 0; });
    frame.kept_r_RC = carry().r_RC;
    frame.kept_y_RC = carry().y_RC;
  }
  state_.travel.loops.push_back(std::move(frame));
  if (uneven) leave_out(spec, {state_.next.step, Place::kBlock});
}

// Rows whose first iteration this is go on with what they had where the loop opened.
void Advance::enter_late(const Injection& input) {
  Travel& travel = state_.travel;
  LoopFrame& frame = travel.loops.back();
  if (!frame.outside_R.defined()) return;
  const Tensor enter_R = frame.outside_R.logical_and(by_sequence(*state_.rows, [&](size_t b) {
    return first_iteration(frame.group, b) == input.loop.iteration;
  }));
  const auto take = [&](Tensor& now_RC, const Tensor& kept_RC) {
    now_RC = where_rows(enter_R, y_or_zeros(kept_RC, now_RC), now_RC);
  };
  take(carry().r_RC, frame.kept_r_RC);
  take(travel.door_r_RC, frame.kept_r_RC);
  if (carry().y_RC.defined()) take(carry().y_RC, frame.kept_y_RC);
  if (travel.door_y_RC.defined()) take(travel.door_y_RC, frame.kept_y_RC);
  frame.outside_R = frame.outside_R.logical_and(enter_R.logical_not());
}

ReadoutUse Advance::use_of(const StepSpec& spec) const {
  return options_.uses.empty() ? ReadoutUse::kTaught
                               : options_.uses.at(static_cast<size_t>(spec.readout));
}

// The reading after a step and, with a halting rule, the decision that follows from it.
void Advance::read_out(const StepSpec& spec, StepRecord& record) {
  const ReadoutSpec& readout_spec = *spec.layer.readout;
  const Rows& rows = *record.rows;
  const ReadoutUse use = use_of(spec);
  if (use == ReadoutUse::kNone) return;
  record.taught = use == ReadoutUse::kTaught;
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
  for (const Tensor& not_R : {record.away_R, settled_R}) halts_R = both(halts_R, none_of(not_R));
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
  if (options_.row_weights && trace_ != nullptr && !has_gradient && record.taught &&
      taught_.at(spec.layer.readout->head) == 1)
    request.weight_R = options_.row_weights(record, *trace_);
  record.read = n_RC.size(0);
  if (!settled_R.defined()) return readout(n_RC, head, request);
  const Tensor open = places_of(none_of(settled_R));
  record.read = open.numel();
  if (record.read == n_RC.size(0)) return readout(n_RC, head, request);
  return readout_of_some(n_RC, open, head, request);
}

// What follows from a decision at a readout.
void Advance::halt(const StepSpec& spec, const Tensor& halts_R) {
  Travel& travel = state_.travel;
  if (options_.skip && halting_.keys == KeyFate::kHidden) {
    state_.split(none_of(halts_R));
    return;
  }
  travel.done_R = either(travel.done_R, halts_R);
  if (halting_.keys == KeyFate::kHidden)
    travel.hidden_R = halting_.history == MaskHistory::kCumulative ? travel.done_R : halts_R;
  leave_out(spec, place_of_end(spec, 0));
}

void DepthWalk::advance(const DepthProgram& program, WalkState& state, size_t last,
                        const Tensor& targets_R, const WalkOptions& options, Trace* trace) const {
  if (last > program.steps.size() || state.next.step > last)
    fail(fmt::format("a walk of {} steps cannot go from {} to {}", program.steps.size(),
                     state.next.step, last));
  const GraphIf graph(options.cache == nullptr);
  Advance(*this, program, state, targets_R, options, trace).run(last);
}

}  // namespace fathom
