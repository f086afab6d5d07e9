#include "fathom/model/supervision.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/model/walk/graph.h"

namespace fathom {
namespace {

using Term = SupervisionTerm;

// One term at one readout.
class Judgement {
 public:
  Judgement(const Term& term, const WalkedBatch& walked, const Tensor& targets_R)
      : term_(term), walked_(walked), trace_(walked.trace), targets_R_(targets_R) {}

  // Values per row, in the graph.
  Tensor values(size_t step) const {
    const StepRecord& record = trace_.steps[step];
    const Reading reading = judged(step);
    const Tensor& ln_p_R = term_.signal == Term::kTarget ? reading.ln_p_R : reading.ln_max_R;
    Tensor x_R = transformed(ln_p_R);
    if (term_.multiplier == Term::kCrossEntropy) x_R = x_R * -record.reading.ln_p_R;
    return x_R;
  }

  // The rows that count, bool.
  Tensor gate(size_t step) const {
    const StepRecord& record = trace_.steps[step];
    Tensor open_R = targets_R_.ne(-1);
    if (record.away_R.defined()) open_R = open_R.logical_and(record.away_R.logical_not());
    if (term_.last_reading) {
      const Tensor later_R = read_later(step);
      if (later_R.defined()) open_R = open_R.logical_and(later_R.logical_not());
    }
    if (term_.gate == Term::kEvery) return open_R;
    if (record.done_R.defined()) open_R = open_R.logical_and(record.done_R.logical_not());
    if (term_.gate == Term::kAsked) return open_R;
    const Tensor& halts_R = record.decision.halts_R;
    if (!halts_R.defined()) fail("a supervision term's gate needs a halting rule");
    return open_R.logical_and(term_.gate == Term::kHalts ? halts_R : halts_R.logical_not());
  }

  // No row counts: the term is of last readings, and all are read again by the step's layer.
  bool is_passed_over(size_t step) const {
    if (!term_.last_reading) return false;
    for (size_t later = step + 1; later < trace_.steps.size(); ++later)
      if (reads_again(step, later) && !trace_.steps[later].away_R.defined()) return true;
    return false;
  }

 private:
  bool reads_again(size_t step, size_t later) const {
    const StepRecord& record = trace_.steps[later];
    return record.readout >= 0 && record.layer == trace_.steps[step].layer;
  }

  // The rows that the step's layer reads again, bool; undefined: none.
  Tensor read_later(size_t step) const {
    Tensor later_R;
    for (size_t later = step + 1; later < trace_.steps.size(); ++later) {
      if (!reads_again(step, later)) continue;
      const Tensor& away_R = trace_.steps[later].away_R;
      later_R = either(
          later_R, away_R.defined() ? away_R.logical_not() : at::ones_like(targets_R_, at::kBool));
    }
    return later_R;
  }

  Tensor transformed(const Tensor& ln_p_R) const {
    if (term_.transform == Term::kNegLog) return -ln_p_R;
    return term_.transform == Term::kProbability ? ln_p_R.exp() : -log1mexp(ln_p_R);
  }

  // The next step that can be asked; the last one itself.
  size_t next_readout(size_t step) const {
    for (size_t next = step + 1; next < trace_.steps.size(); ++next)
      if (trace_.steps[next].readout >= 0) return next;
    return step;
  }

  Reading judged(size_t step) const {
    if (term_.judge == Term::kSelf && term_.reach == 0) return trace_.steps[step].reading;
    ReadoutRequest request;
    request.ids_R = targets_R_;
    request.grad_of_max = true;
    size_t first = step, last = step;  // steps that are walked once more
    if (term_.judge == Term::kSelf)
      first = step + 1 - std::min(static_cast<size_t>(term_.reach), step + 1);
    if (term_.judge == Term::kNextFrozen) {
      first = std::min(step + 1, trace_.steps.size() - 1);
      last = next_readout(step);
    }
    const std::shared_ptr<const WalkState>& door = walked_.kept.door(int(first));
    if (door == nullptr) fail("a judge's walk has kept no doors", "with_needs() asks for them");
    WalkState state = *door;
    Carry& carry = state.travel.carry;
    if (term_.judge == Term::kSelf) carry = carry.detached();
    // The last step has no next one: it is asked once more, in the loops it stands in.
    if (term_.judge == Term::kNextFrozen && first == step) {
      carry.r_RC = trace_.end.r_RC;
      carry.y_RC = trace_.end.y_RC;
    }
    WalkOptions options = walked_.options;
    options.read = false;
    options.observe = {};
    options.follow = &trace_;
    const DepthWalk& walk = walked_.walk;
    if (term_.judge != Term::kSelf) options.params = walk.frozen_params();
    walk.advance(walked_.program, state, last + 1, {}, options, nullptr);
    const StepSpec& asked = walked_.program.steps[last];
    const GraphIf graph(asked.grad);
    return walk.read(asked, carry, request,
                     options.params != nullptr ? *options.params : walk.params());
  }

  const Term& term_;
  const WalkedBatch& walked_;
  const Trace& trace_;
  const Tensor& targets_R_;
};

// The term's weight at a layer.
double weight_at(const Term& term, int layer) {
  const bool has = layer >= 0 && size_t(layer) < term.weights.size();
  return has ? term.weights[size_t(layer)] : 0;
}

// A cross entropy of the walk's own answers, of rows that are known before they are read.
bool is_known_before(const Term& t) {
  return t.signal == Term::kTarget && t.transform == Term::kNegLog &&
         (t.gate == Term::kEvery || t.gate == Term::kAsked) && t.multiplier == Term::kOne &&
         t.judge == Term::kSelf && t.reach == 0;
}

// The gate of all terms at the layer if each of them is known before; none otherwise.
std::optional<Term::Gate> gate_of(const SupervisionTable& table, int layer) {
  std::optional<Term::Gate> gate;
  for (const Term& t : table) {
    if (weight_at(t, layer) == 0) continue;
    if (!is_known_before(t) || (gate && *gate != t.gate)) return {};
    gate = t.gate;
  }
  return gate;
}

// What each sequence adds to the part, where nobody asks for gradients.
void add_sequences(LossPart& part, const Rows& rows, double weight, const Tensor& x_R,
                   const Tensor& count_R) {
  if (at::GradMode::is_enabled()) return;
  const auto per_sequence = [&](const Tensor& t_R) {
    return t_R.to(at::kDouble).view({rows.batch(), rows.longest()}).sum(1).to(at::kCPU);
  };
  const auto add = [](Tensor& to_B, const Tensor& more_B) {
    to_B = to_B.defined() ? to_B + more_B : more_B;
  };
  add(part.sum_B, per_sequence(weight * x_R));
  if (count_R.defined()) add(part.count_B, per_sequence(count_R));
}

}  // namespace

SupervisionTable make_supervision(const SupervisionConfig& config, int64_t n_layer) {
  Term term;
  term.weights = config.layer_weights(n_layer);
  term.last_reading = config.layer_supervision.choice == "last";
  if (config.skips_easy()) {
    term.gate = Term::kAsked;
    if (config.skip_easy_weight == SkipEasyWeight::kLayer) term.denominator = Term::kGated;
  }
  return {term};
}

WalkOptions with_needs(const SupervisionTable& table, WalkOptions options, Kept& kept) {
  for (const Term& term : table) {
    if (term.judge != Term::kSelf || term.reach > 0) kept.keep("door");
    if (term.signal == Term::kMax) options.grad_of_max = true;
  }
  options.observe = kept.observer();
  return options;
}

RowWeights row_weights(const SupervisionTable& table, const Batch& batch) {
  if (!batch.targets_BT.defined()) return {};
  Tensor weight_BT = batch.targets_BT.ne(-1).to(at::kFloat);
  if (batch.weight_BT.defined()) weight_BT = weight_BT * batch.weight_BT;
  return [&table, weight_BT = -weight_BT](const StepRecord& record) -> Tensor {
    const auto gate = gate_of(table, record.layer);
    if (!gate) return {};
    const Tensor weight_R = record.rows->of(weight_BT);
    Tensor shut_R = record.away_R;
    if (*gate == Term::kAsked) shut_R = either(shut_R, record.done_R);
    return shut_R.defined() ? weight_R.masked_fill(shut_R, 0) : weight_R;
  };
}

double target_count(const Batch& batch) {
  const Tensor has_target = batch.targets_BT.ne(-1);
  if (!batch.weight_BT.defined()) return has_target.sum().item<double>();
  return batch.weight_BT.masked_fill(has_target.logical_not(), 0).sum().item<double>();
}

std::map<std::string, double> known_counts(const SupervisionTable& table, const Batch& batch) {
  std::map<std::string, double> counts;
  for (const Term& term : table)
    if (term.denominator == Term::kTargets) counts[term.name] = target_count(batch);
  return counts;
}

std::vector<LossPart> supervise(const SupervisionTable& table, const WalkedBatch& walked) {
  const Batch& batch = walked.batch;
  const Trace& trace = walked.trace;
  const Tensor targets_R = trace.all->of(batch.targets_BT);
  const Tensor given_R = batch.weight_BT.defined() ? trace.all->of(batch.weight_BT) : Tensor();
  std::vector<LossPart> parts;
  for (const Term& term : table) {
    const Judgement judgement(term, walked, targets_R);
    LossPart whole{term.name, {}, target_count(batch)};
    Tensor count_R = targets_R.ne(-1);  // of the whole part, until it has been added
    if (given_R.defined()) count_R = given_R.masked_fill(count_R.logical_not(), 0);
    for (size_t step = 0; step < trace.steps.size(); ++step) {
      const int layer = trace.steps[step].layer;
      const double weight = weight_at(term, layer);
      if (weight == 0 || judgement.is_passed_over(step)) continue;
      const Reading& reading = trace.steps[step].reading;
      const bool is_summed = reading.weighted.defined() && at::GradMode::is_enabled() &&
                             gate_of(table, layer).has_value();
      const Tensor gate_R = judgement.gate(step);
      Tensor x_R;
      Tensor weight_R = gate_R.to(reading.ln_max_R.scalar_type());
      if (given_R.defined()) weight_R = weight_R * given_R;
      // Where the gate is shut the value may be anything, infinite too.
      if (!is_summed) x_R = judgement.values(step).masked_fill(gate_R.logical_not(), 0) * weight_R;
      const Tensor sum = weight * (is_summed ? reading.weighted : x_R.sum());
      if (term.denominator == Term::kTargets) {
        whole.sum = whole.sum.defined() ? whole.sum + sum : sum;
        add_sequences(whole, *trace.all, weight, x_R, std::exchange(count_R, {}));
        continue;
      }
      const double count = weight_R.sum().item<double>();
      const std::string name =
          fmt::format("{}/{}", term.name, walked.program.steps[step].readout_name());
      parts.push_back({name, count > 0 ? sum : sum.detach(), count});
      add_sequences(parts.back(), *trace.all, weight, x_R, weight_R);
    }
    if (whole.sum.defined()) parts.push_back(whole);
  }
  return parts;
}

Tensor log1mexp(const Tensor& z) {
  // 1 - exp(z) is never 0 then.
  const Tensor x = z.clamp_max(-static_cast<double>(std::numeric_limits<float>::min()));
  const Tensor near_one = x.gt(-std::log(2.0));
  // Each branch sees only arguments it can take: the other one's gradient would be 0 * infinity.
  const Tensor small = at::where(near_one, x, -1.0 * x.new_ones({}));
  const Tensor large = at::where(near_one, -1.0 * x.new_ones({}), x);
  return at::where(near_one, (-small.expm1()).log(), (-large.exp()).log1p());
}

}  // namespace fathom
