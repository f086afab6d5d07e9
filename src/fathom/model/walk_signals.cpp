#include "fathom/model/walk_signals.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fathom/base/error.h"
#include "fathom/model/walk/graph.h"

namespace fathom {
namespace {

TermValue number_value(double number) {
  TermValue value;
  value.number = number;
  return value;
}

TermValue rows_value(Tensor x_R) {
  TermValue value;
  value.x = std::move(x_R);
  return value;
}

TermValue choice_value(Tensor chosen_R) {
  TermValue value;
  value.x = std::move(chosen_R);
  value.is_choice = true;
  return value;
}

}  // namespace

NextRows next_rows(const Rows& rows) {
  const int64_t R = rows.count();
  const Tensor has = at::empty({R}, at::TensorOptions(at::kBool));
  std::fill_n(has.data_ptr<bool>(), R, true);
  for (size_t b = 0; b < static_cast<size_t>(rows.batch()); ++b)
    if (rows.offsets()[b + 1] > rows.offsets()[b])
      has.data_ptr<bool>()[rows.offsets()[b + 1] - 1] = false;
  const at::Device device = rows.token_R.device();
  NextRows next;
  next.has_R = has.to(device);
  next.index_R = at::arange(R, at::TensorOptions(at::kLong).device(device));
  next.index_R = next.index_R + next.has_R.to(at::kLong);
  if (rows.segment_R.defined())
    next.has_R =
        next.has_R.logical_and(rows.segment_R.eq(rows.segment_R.index_select(0, next.index_R)));
  if (rows.valid_R.defined())
    next.has_R = next.has_R.logical_and(rows.valid_R)
                     .logical_and(rows.valid_R.index_select(0, next.index_R));
  return next;
}

EarlierSignals::EarlierSignals(const SupervisionTerm& term, const std::vector<StepRecord>& steps,
                               size_t before, const StepRecord& now, const Tensor& targets_BT,
                               at::ScalarType type, double cap)
    : SignalSource(type),
      term_(term),
      steps_(steps),
      before_(before),
      now_(now),
      targets_BT_(targets_BT),
      cap_(cap) {
  for (size_t i = 0; i < before_; ++i)
    if (steps_[i].readout >= 0) previous_ = &steps_[i];
}

TermValue EarlierSignals::asked(const StepRecord& record) {
  if (!record.done_R.defined()) return number_value(1);
  return choice_value(record.done_R.logical_not());
}

TermValue EarlierSignals::halts(const StepRecord& record) {
  const Tensor& halts_R = record.decision.halts_R;
  if (!halts_R.defined())
    fail("a term of the objective asks who halts, which needs a halting rule");
  if (!record.done_R.defined()) return choice_value(halts_R);
  return choice_value(halts_R.logical_and(record.done_R.logical_not()));
}

TermValue EarlierSignals::survives(const StepRecord& record) {
  const Tensor stays_R = halts(record).x.logical_not();
  if (!record.done_R.defined()) return choice_value(stays_R);
  return choice_value(stays_R.logical_and(record.done_R.logical_not()));
}

TermValue EarlierSignals::answers(const StepRecord& record, bool last) {
  if (last) return asked(record);
  if (record.decision.halts_R.defined()) return halts(record);
  return number_value(0);
}

TermValue EarlierSignals::of(const std::string& name) const {
  if (is_prev(name)) return previous(bare(name));
  const Rows& rows = *now_.rows;
  if (name == "i") return number_value(now_.layer);
  if (name == "L")
    return number_value(term_.n_layer > 0 ? static_cast<double>(term_.n_layer)
                                          : static_cast<double>(term_.weights.size()));
  if (name == "has_target") return choice_value(rows.of(targets_BT_).ne(-1));
  if (name == "valid") return rows.valid_R.defined() ? choice_value(rows.valid_R) : number_value(1);
  if (name == "has_next") return choice_value(next_rows(rows).has_R);
  if (name == "asked") return asked(now_);
  if (name == "expected_asked") {
    const Tensor ln_R = ln_expected_asked();
    return ln_R.defined() ? rows_value(ln_R.exp()) : number_value(1);
  }
  refuse(name);
}

// Before the first layer nobody has halted.
TermValue EarlierSignals::previous(std::string_view name) const {
  if (name == "asked" || name == "survives") {
    if (previous_ == nullptr) return number_value(1);
    return name == "asked" ? asked(*previous_) : survives(*previous_);
  }
  if (name == "halts" || name == "answers")
    return previous_ == nullptr ? number_value(0)
           : name == "halts"    ? halts(*previous_)
                                : answers(*previous_, /*last=*/false);
  if (previous_ != nullptr) {
    const Reading& reading = previous_->reading;
    if (name == "ce") return rows_value(-reading.ln_p_R);
    if (name == "p") return rows_value(reading.ln_p_R.exp());
    if (name == "p_max") return rows_value(reading.ln_max_R.exp());
  }
  refuse(fmt::format("prev.{}", name));
}

Tensor EarlierSignals::ln_of(const std::string& name) const {
  if (name == "expected_asked") return ln_expected_asked();
  if (previous_ == nullptr) return {};
  if (name == "prev.p") return previous_->reading.ln_p_R;
  if (name == "prev.p_max") return previous_->reading.ln_max_R;
  return {};
}

Tensor EarlierSignals::ln_expected_halts(const StepRecord& record) const {
  const Tensor& ln_max_R = record.reading.ln_max_R;
  return cap_ < 1 ? ln_max_R.clamp_max(std::log(cap_)) : ln_max_R;
}

// A row that is away from a loop is not asked there, and cannot halt.
Tensor EarlierSignals::ln_expected_asked() const {
  Tensor ln_R;
  for (size_t i = 0; i < before_; ++i) {
    if (steps_[i].readout < 0) continue;
    Tensor stays_R = log1mexp(ln_expected_halts(steps_[i]));
    if (steps_[i].away_R.defined()) stays_R = stays_R.masked_fill(steps_[i].away_R, 0);
    ln_R = ln_R.defined() ? ln_R + stays_R : stays_R;
  }
  return ln_R;
}

Judges::Judges(const WalkedBatch& walked)
    : walked_(walked), targets_R_(walked.trace.all->of(walked.batch.targets_BT)) {}

const Reading& Judges::reading(const SupervisionTerm& term, size_t step) {
  const bool whole =
      term.reach == 0 || (term.reach_embeddings && static_cast<size_t>(term.reach) > step);
  if (term.judge == TermRule::kSelf && whole) return walked_.trace.steps[step].reading;
  const auto key =
      std::tuple<int, int64_t, bool, size_t>(term.judge, term.reach, term.reach_embeddings, step);
  const auto found = said_.find(key);
  if (found != said_.end()) return found->second;
  return said_[key] = ask(term, step);
}

// The next step that can be asked; the last one itself.
size_t Judges::next_readout(size_t step) const {
  for (size_t next = step + 1; next < walked_.trace.steps.size(); ++next)
    if (walked_.trace.steps[next].readout >= 0) return next;
  return step;
}

Reading Judges::ask(const SupervisionTerm& term, size_t step) const {
  const Trace& trace = walked_.trace;
  ReadoutRequest request;
  request.ids_R = targets_R_;
  request.grad_of_max = true;
  size_t first = step, last = step;  // steps that are walked once more
  if (term.judge == TermRule::kSelf)
    first = step + 1 - std::min(static_cast<size_t>(term.reach), step + 1);
  if (term.judge == TermRule::kNextFrozen) {
    first = std::min(step + 1, trace.steps.size() - 1);
    last = next_readout(step);
  }
  const std::shared_ptr<const WalkState>& door = walked_.kept.door(static_cast<int>(first));
  if (door == nullptr) fail("a judge's walk has kept no doors", "with_needs() asks for them");
  WalkState state = *door;
  Carry& carry = state.travel.carry;
  if (term.judge == TermRule::kSelf) carry = carry.detached();
  // The last step has no next one: it is asked once more, in the loops it stands in.
  if (term.judge == TermRule::kNextFrozen && first == step) {
    carry.r_RC = trace.end.r_RC;
    carry.y_RC = trace.end.y_RC;
  }
  WalkOptions options = walked_.options;
  options.read = false;
  options.observe = {};
  options.follow = &trace;
  const DepthWalk& walk = walked_.walk;
  if (term.judge != TermRule::kSelf) {
    options.params = walk.frozen_params();
    options.cut = false;  // what is frozen is no part of anybody's reach
  }
  walk.advance(walked_.program, state, last + 1, {}, options, nullptr);
  const StepSpec& asked = walked_.program.steps[last];
  const GraphIf graph(asked.grad);
  return walk.read(asked, carry, request,
                   options.params != nullptr ? *options.params : walk.params());
}

ReadoutSignals::ReadoutSignals(const SupervisionTerm& term, const WalkedBatch& walked, size_t step,
                               Judges& judges)
    : EarlierSignals(term, walked.trace.steps, step, walked.trace.steps[step],
                     walked.batch.targets_BT,
                     walked.trace.steps[step].reading.ln_max_R.scalar_type(),
                     walked.program.policy.halting.config.probability_cap()),
      walked_(walked),
      step_(step),
      judges_(judges) {}

bool ReadoutSignals::is_last() const {
  return std::none_of(steps_.begin() + static_cast<std::ptrdiff_t>(step_) + 1, steps_.end(),
                      [](const StepRecord& r) { return r.readout >= 0; });
}

// What the walk itself says; as far as the gradient reaches.
const Reading& ReadoutSignals::own() const {
  return term_.judge == TermRule::kSelf ? judges_.reading(term_, step_) : now_.reading;
}

TermValue ReadoutSignals::of(const std::string& name) const {
  if (name == "ce") return rows_value(-own().ln_p_R);
  if (name == "p") return rows_value(judges_.reading(term_, step_).ln_p_R.exp());
  if (name == "p_max") return rows_value(judges_.reading(term_, step_).ln_max_R.exp());
  if (name == "halts") return halts(now_);
  if (name == "survives") return survives(now_);
  if (name == "answers") return answers(now_, is_last());
  if (name == "expected_halts") {
    const Tensor ln_R = ln_of(name);
    return ln_R.defined() ? rows_value(ln_R.exp()) : number_value(1);
  }
  if (name == "agrees" && previous_ != nullptr)
    return choice_value(now_.reading.prediction_R.eq(previous_->reading.prediction_R));
  if (name == "carry2") return rows_value(carry2());
  if (name == "prev_next_dot" && previous_ != nullptr) return rows_value(prev_next_dot());
  if (name == "prev_token_ln_p" && previous_ != nullptr) return rows_value(prev_token_ln_p());
  return EarlierSignals::of(name);
}

Tensor ReadoutSignals::ln_of(const std::string& name) const {
  if (name == "p") return judges_.reading(term_, step_).ln_p_R;
  if (name == "p_max") return judges_.reading(term_, step_).ln_max_R;
  if (name != "expected_halts") return EarlierSignals::ln_of(name);
  const Tensor ln_asked_R = ln_expected_asked();
  if (is_last()) return ln_asked_R;
  const Tensor ln_halts_R = ln_expected_halts(now_);
  return ln_asked_R.defined() ? ln_asked_R + ln_halts_R : ln_halts_R;
}

Tensor ReadoutSignals::carry2() const {
  Tensor r_RC = walked_.trace.end.r_RC;
  if (step_ + 1 < steps_.size()) {
    const std::shared_ptr<const WalkState>& door = walked_.kept.door(static_cast<int>(step_ + 1));
    if (door == nullptr) fail("carry2 needs a walk that has kept its doors");
    r_RC = door->travel.carry.r_RC;
  }
  return (r_RC * r_RC).mean(-1);
}

Tensor ReadoutSignals::prev_next_dot() const {
  const Tensor n_RC = walked_.kept.head(now_.step), before_RC = walked_.kept.head(previous_->step);
  if (n_RC.size(-1) != before_RC.size(-1))
    fail(fmt::format("prev_next_dot of layer {}: it has {} channels, and the layer before {}",
                     now_.layer, n_RC.size(-1), before_RC.size(-1)),
         "take layers of one width");
  const NextRows next = next_rows(*now_.rows);
  return (before_RC.index_select(0, next.index_R) * n_RC)
      .mean(-1)
      .masked_fill(next.has_R.logical_not(), 0);
}

Tensor ReadoutSignals::prev_token_ln_p() const {
  const NextRows next = next_rows(*now_.rows);
  ReadoutRequest request;
  request.ids_R = previous_->reading.prediction_R.index_select(0, next.index_R)
                      .masked_fill(next.has_R.logical_not(), -1);
  const StepSpec& step = walked_.program.steps[static_cast<size_t>(now_.step)];
  const GraphIf graph(step.grad);
  return readout(walked_.kept.head(now_.step),
                 walked_.walk.params().head.at(step.layer.readout->head), request)
      .ln_p_R;
}

}  // namespace fathom
