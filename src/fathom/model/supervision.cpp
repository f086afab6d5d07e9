#include "fathom/model/supervision.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "fathom/model/counted_rows.h"
#include "fathom/model/spec/readout_uses.h"
#include "fathom/model/walk_signals.h"

namespace fathom {
namespace {

using Term = SupervisionTerm;

// The expression of all terms at the layer, if each of them is a cross entropy whose weights are
// known before; null: they are not, or there is none.
const Expr* known_value(const SupervisionTable& table, int layer) {
  const Expr* value = nullptr;
  for (const Term& t : table) {
    if (weight_at(t, layer) == 0) continue;
    if (!is_weighted_cross_entropy(t) || (value != nullptr && !(*value == t.value))) return nullptr;
    value = &t.value;
  }
  return value;
}

// What multiplies the cross entropy: the expression with 1 in its place.
class FactorSignals final : public EarlierSignals {
 public:
  using EarlierSignals::EarlierSignals;
  TermValue of(const std::string& name) const override {
    if (name != "ce") return EarlierSignals::of(name);
    TermValue one;
    one.number = 1;
    return one;
  }
};

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

class Supervisor {
 public:
  Supervisor(const SupervisionTable& table, const WalkedBatch& walked)
      : table_(table), walked_(walked), trace_(walked.trace), judges_(walked) {}

  std::vector<LossPart> run() {
    for (const Term& term : table_) {
      const Ground ground = ground_of(term.per, *trace_.all, walked_.batch);
      if (is_of_means(term.value))
        add_of_means(term, ground);
      else
        add_of_rows(term, ground);
    }
    return std::move(parts_);
  }

 private:
  // Steps at which the term has something to say.
  std::vector<size_t> steps_of(const Term& term) {
    const OpenRows open(term, trace_);
    std::vector<size_t> steps;
    for (size_t step = 0; step < trace_.steps.size(); ++step) {
      if (weight_at(term, trace_.steps[step].layer) == 0 || open.is_passed_over(step)) continue;
      if (needs_previous(term.value) && !signals(term, step).has_previous()) continue;
      steps.push_back(step);
    }
    return steps;
  }

  ReadoutSignals signals(const Term& term, size_t step) {
    return ReadoutSignals(term, walked_, step, judges_);
  }

  // What the rows weigh in the denominator of the step: of a layer's own mean, those it is over.
  static Tensor counted(const Term& term, const ReadoutSignals& at_step, const Tensor& open_R,
                        const Tensor& weight_R) {
    const char* name = choosing_signal(term.per);
    if (*name == '\0') return weight_R;
    const TermValue chosen = at_step.of(name);
    if (chosen.is_choice) return weight_R.masked_fill(chosen.x.logical_not(), 0);
    return chosen.number == 0 ? at::zeros_like(open_R).to(weight_R.scalar_type()) : weight_R;
  }

  Tensor weights_of(const Ground& ground, const Tensor& open_R, at::ScalarType type) const {
    const Tensor weight_R = open_R.to(type);
    return ground.weight_R.defined() ? weight_R * ground.weight_R : weight_R;
  }

  void add_of_rows(const Term& term, const Ground& ground) {
    const OpenRows open(term, trace_);
    const bool whole_step = is_known_before(term.per);
    LossPart whole{term.name, {}, whole_step ? count_of(term.per, walked_.batch) : 0};
    Tensor count_R = ground.open_R;  // of the whole part, until it has been added
    if (ground.weight_R.defined()) count_R = ground.weight_R.masked_fill(count_R.logical_not(), 0);
    for (const size_t step : steps_of(term)) {
      const StepRecord& record = trace_.steps[step];
      const double weight = weight_at(term, record.layer);
      const bool is_summed = record.reading.weighted.defined() && at::GradMode::is_enabled() &&
                             known_value(table_, record.layer) != nullptr;
      const Tensor open_R = open.at(step, ground.open_R);
      const ReadoutSignals at_step = signals(term, step);
      const Tensor weight_R = weights_of(ground, open_R, at_step.type());
      Tensor x_R;
      // Where a row does not count the value may be anything, infinite too.
      if (!is_summed)
        x_R = rows_of(evaluate(term.value, at_step), at_step, weight_R)
                  .masked_fill(open_R.logical_not(), 0) *
              weight_R;
      const Tensor sum = weight * (is_summed ? record.reading.weighted : x_R.sum());
      if (whole_step) {
        whole.sum = whole.sum.defined() ? whole.sum + sum : sum;
        add_sequences(whole, *trace_.all, weight, x_R, std::exchange(count_R, {}));
        continue;
      }
      const Tensor counted_R = counted(term, at_step, open_R, weight_R);
      const double count = counted_R.sum().item<double>();
      const std::string name =
          fmt::format("{}/{}", term.name, walked_.program.steps[step].readout_name());
      parts_.push_back({name, count > 0 ? sum : sum.detach(), count});
      add_sequences(parts_.back(), *trace_.all, weight, x_R, counted_R);
    }
    if (whole.sum.defined()) parts_.push_back(whole);
  }

  void add_of_means(const Term& term, const Ground& ground);

  const SupervisionTable& table_;
  const WalkedBatch& walked_;
  const Trace& trace_;
  Judges judges_;
  std::vector<LossPart> parts_;
};

void find_means(const Expr& e, std::vector<Expr>& means) {
  if (e.op == Expr::kCall && e.name == "mean") {
    if (std::find(means.begin(), means.end(), e) == means.end()) means.push_back(e);
    return;
  }
  for (const Expr& arg : e.args) find_means(arg, means);
}

// A function of means at one layer.
struct MeansOfLayer {
  double weight = 0;
  int layer = 0;
};

class MeanSignals final : public SignalSource {
 public:
  // `values`: of `means`, in their order.
  MeanSignals(const std::vector<Expr>& means, const Tensor* values, int layer, double n_layer)
      : SignalSource(values->scalar_type()),
        means_(means),
        values_(values),
        layer_(layer),
        n_layer_(n_layer) {}

  TermValue of(const std::string& name) const override {
    if (name != "i" && name != "L") refuse(name);
    TermValue value;
    value.number = name == "i" ? layer_ : n_layer_;
    return value;
  }
  TermValue mean(const Expr& e) const override {
    const auto found = std::find(means_.begin(), means_.end(), e);
    if (found == means_.end()) refuse(to_text(e));
    TermValue value;
    value.x = values_[found - means_.begin()];
    return value;
  }

 private:
  const std::vector<Expr>& means_;
  const Tensor* values_;
  double layer_, n_layer_;
};

void Supervisor::add_of_means(const Term& term, const Ground& ground) {
  const OpenRows open(term, trace_);
  std::vector<Expr> means;
  find_means(term.value, means);
  LossPart part{term.name, {}, 0};
  std::vector<MeansOfLayer> layers;
  std::vector<Tensor> own;  // means of this pass
  for (const size_t step : steps_of(term)) {
    const StepRecord& record = trace_.steps[step];
    const Tensor open_R = open.at(step, ground.open_R);
    const ReadoutSignals at_step = signals(term, step);
    const Tensor weight_R =
        counted(term, at_step, open_R, weights_of(ground, open_R, at_step.type()));
    const double count = weight_R.sum().item<double>();
    layers.push_back({weight_at(term, record.layer), record.layer});
    for (const Expr& mean : means) {
      const Tensor x_R = rows_of(evaluate(mean.args.at(0), at_step), at_step, weight_R)
                             .masked_fill(weight_R.eq(0), 0) *
                         weight_R;
      part.means.push_back({fmt::format("{}/{}", term.name, part.means.size()), x_R.sum(), count});
      own.push_back(count > 0 ? part.means.back().sum / count : Tensor());
    }
    if (count > 0) part.count = 1;
  }
  const double n_layer = term.n_layer > 0 ? static_cast<double>(term.n_layer)
                                          : static_cast<double>(term.weights.size());
  part.of_means = [value = term.value, means, layers, n_layer](const std::vector<Tensor>& at) {
    Tensor sum;
    for (size_t k = 0; k < layers.size(); ++k) {
      const Tensor* values = at.data() + k * means.size();
      if (!values->defined()) continue;  // no row of the step is asked there
      const MeanSignals source(means, values, layers[k].layer, n_layer);
      const TermValue x = evaluate(value, source);
      const Tensor more = layers[k].weight * x.x;
      sum = sum.defined() ? sum + more : more;
    }
    return sum;
  };
  if (layers.empty()) return;
  part.sum = part.count > 0 ? part.of_means(own) : at::zeros({}, part.means.front().sum.options());
  parts_.push_back(std::move(part));
}

}  // namespace

WalkOptions with_needs(const SupervisionTable& table, WalkOptions options, Kept& kept) {
  for (const Term& term : table) {
    const Expr& value = term.value;
    if (term.judge != Term::kSelf || term.reach > 0 || mentions(value, "carry2")) kept.keep("door");
    if (mentions(value, "p_max") || needs_all_before(value)) options.grad_of_max = true;
    // With the doors, all rows go the whole way.
    if (mentions(value, "prev_next_dot") || mentions(value, "prev_token_ln_p"))
      for (const char* name : {"head", "door"}) kept.keep(name);
  }
  options.observe = kept.observer();
  return options;
}

RowWeights row_weights(const SupervisionTable& table, const Batch& batch, double cap) {
  if (!batch.targets_BT.defined()) return {};
  Tensor weight_BT = batch.targets_BT.ne(-1).to(at::kFloat);
  if (batch.weight_BT.defined()) weight_BT = weight_BT * batch.weight_BT;
  return [&table, weight_BT = -weight_BT, targets_BT = batch.targets_BT, cap](
             const StepRecord& record, const Trace& so_far) -> Tensor {
    const Expr* value = known_value(table, record.layer);
    if (value == nullptr) return {};
    const auto of_layer = std::find_if(
        table.begin(), table.end(), [&](const Term& t) { return weight_at(t, record.layer) != 0; });
    const FactorSignals signals(*of_layer, so_far.steps, so_far.steps.size(), record, targets_BT,
                                at::kDouble, cap);
    if (needs_previous(*value) && !signals.has_previous()) return {};
    const Tensor weight_R = record.rows->of(weight_BT);
    const Tensor there_R =
        record.away_R.defined() ? weight_R.masked_fill(record.away_R, 0) : weight_R;
    const TermValue factor = evaluate(*value, signals);
    if (factor.is_choice) return there_R.masked_fill(factor.x.logical_not(), 0);
    return factor.x.defined()   ? there_R * factor.x
           : factor.number == 1 ? there_R
                                : there_R.to(at::kDouble) * factor.number;
  };
}

std::map<std::string, double> known_counts(const SupervisionTable& table, const Batch& batch) {
  std::map<std::string, double> counts;
  for (const Term& term : table)
    if (is_known_before(term.per) && !is_of_means(term.value))
      counts[term.name] = count_of(term.per, batch);
  return counts;
}

std::vector<LossPart> supervise(const SupervisionTable& table, const WalkedBatch& walked) {
  return Supervisor(table, walked).run();
}

}  // namespace fathom
