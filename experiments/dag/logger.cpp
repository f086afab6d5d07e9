#include "experiments/dag/logger.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/norm.h>
#include <ATen/ops/stack.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace fathom::dag {
namespace {

// Sums with what they are over, on their way from the device, which is waited for once: so that the
// figures of a batch are those of its parts.
class Figures {
 public:
  // As many sums and counts as names, in any shape.
  void add_sums(const std::vector<std::string>& names, const Tensor& sums, const Tensor& counts) {
    names_.insert(names_.end(), names.begin(), names.end());
    sums_.push_back(sums.to(at::kDouble).flatten());
    counts_.push_back(counts.to(at::kDouble).flatten());
  }
  // Means over `count`.
  void add(const std::vector<std::string>& names, const Tensor& means, double count = 1) {
    const Tensor all = means.to(at::kDouble).flatten();
    add_sums(names, all * count, at::full_like(all, count));
  }

  std::map<std::string, Metric> take() const {
    std::map<std::string, Metric> metrics;
    if (names_.empty()) return metrics;
    const Tensor sums = at::cat(sums_).to(at::kCPU).contiguous();
    const Tensor counts = at::cat(counts_).to(at::kCPU).contiguous();
    for (size_t i = 0; i < names_.size(); ++i)
      metrics[names_[i]] = {sums.data_ptr<double>()[i], counts.data_ptr<double>()[i]};
    return metrics;
  }

 private:
  std::vector<std::string> names_;
  std::vector<Tensor> sums_, counts_;
};

// "dag/op_share.add", ...
std::vector<std::string> named(const char* begin, const std::vector<Operation>& operations) {
  std::vector<std::string> names;
  for (const Operation operation : operations)
    names.push_back(begin + std::string(to_text(operation)));
  return names;
}

// s * e^l, in double precision.
Tensor real_of(const Numbers& x) {
  return x.is_linear() ? x.real.to(at::kDouble) : x.sign * x.log.to(at::kDouble).exp();
}

// -sum p ln p of the last dimension; a share of 0 adds nothing.
Tensor entropy(const Tensor& p) {
  return -(p * p.clamp_min(1e-30).log()).sum(-1);
}

// The rows that count.
class Chosen {
 public:
  Chosen(const Tensor& valid_R, int64_t R) {
    if (valid_R.defined()) rows_K_ = valid_R.nonzero().squeeze(1);
    count_ = rows_K_.defined() ? rows_K_.size(0) : R;
  }
  explicit Chosen(Tensor rows_K) : rows_K_(std::move(rows_K)), count_(rows_K_.size(0)) {}
  int64_t count() const { return count_; }
  Tensor of(const Tensor& x_RX) const {
    return rows_K_.defined() ? x_RX.index_select(0, rows_K_) : x_RX;
  }

 private:
  Tensor rows_K_;
  int64_t count_ = 0;
};

struct Entropies {
  Tensor shares_N;       // mean
  Tensor of_mean, mean;  // scalars, by ln N
};
Entropies entropies_of(const Tensor& p_MN) {
  const double scale = 1 / std::log(static_cast<double>(p_MN.size(1)));
  const Tensor p = p_MN.to(at::kDouble);
  const Tensor shares_N = p.mean(0);
  return {shares_N, entropy(shares_N) * scale, entropy(p).mean() * scale};
}

void add_operations(const Tensor& op_RDN, const DagSettings& settings, bool training,
                    Figures& figures) {
  const int64_t N = op_RDN.size(2);
  const Tensor p_MN = op_RDN.reshape({-1, N});
  const auto M = static_cast<double>(p_MN.size(0));
  const Entropies h = entropies_of(p_MN);
  figures.add(named("dag/op_share.", settings.operations), h.shares_N, M);
  if (N < 2) return;
  figures.add({"dag/op_sharpness"}, (1 - h.mean).clamp(0, 1), M);
  if (training) return;
  figures.add({"dag/op_diversity", "dag/op_mutual_info"},
              at::stack({h.of_mean, h.of_mean - h.mean}).clamp(0, 1), M);
}

void add_values(const Recorded& seen, const Chosen& rows, Figures& figures) {
  const auto chosen = [&](const Numbers& x) {
    return x.is_linear() ? Numbers{rows.of(x.real), {}, {}}
                         : Numbers{{}, rows.of(x.sign), rows.of(x.log)};
  };
  const Tensor first_KV = real_of(chosen(seen.values_RV));
  const Tensor begin_K1 = first_KV.narrow(1, first_KV.size(1) - 1, 1);
  const Tensor stages_KX = at::cat({begin_K1, real_of(chosen(seen.steps_RD))}, 1);
  const Tensor finite_KX = stages_KX.isfinite();
  const Tensor held_KX = stages_KX.masked_fill(finite_KX.logical_not(), 0), n_X = finite_KX.sum(0);
  const auto add = [&](const char* name, const Tensor& x_KX) {
    std::vector<std::string> names;
    for (int64_t k = 0; k < x_KX.size(1); ++k) names.push_back(fmt::format("{}/{}", name, k));
    figures.add_sums(names, x_KX.sum(0), n_X);
  };
  add("dag/value", held_KX);
  add("dag/signed_log", held_KX.sign() * held_KX.abs().log1p());
}

Tensor norms_of(const Tensor& x_KX) {
  return x_KX.to(at::kDouble).square().sum(1).sqrt();
}

// Of the chosen rows, with `begin` before the names.
void add_norms(const std::string& begin, const Recorded& seen, const Chosen& rows,
               Figures& figures) {
  if (rows.count() == 0) return;
  const auto norm_of = [&](const Tensor& x_RH) { return norms_of(rows.of(x_RH)); };
  const Tensor original_K = norm_of(seen.original_RH), dag_K = norm_of(seen.hidden_RH);
  const Tensor mixed_K = norm_of(seen.mixed_RH), ratio_K = dag_K / original_K.clamp_min(1e-30);
  figures.add(
      {begin + "norm_original", begin + "norm_dag", begin + "norm_mixed", begin + "norm_ratio"},
      at::stack({original_K, dag_K, mixed_K, ratio_K}).mean(1), static_cast<double>(rows.count()));
}

// Of what programs are made of and, of a full model, of what they give.
void add_program_norms(const Recorded& seen, const Chosen& rows, Figures& figures) {
  std::vector<std::string> names;
  std::vector<Tensor> means;
  const auto add = [&](const char* name, const Tensor& x_RX) {
    if (!x_RX.defined()) return;
    names.emplace_back(name);
    means.push_back(norms_of(rows.of(x_RX)).mean());
  };
  add("dag/norm_sign_logits", seen.sign_logits_RV);
  add("dag/norm_log_logits", seen.log_logits_RV);
  add("dag/norm_op_logits", seen.op_logits_RX);
  std::vector<Tensor> last_R;
  for (const Tensor& x_RD : {seen.steps_RD.real, seen.steps_RD.sign, seen.steps_RD.log})
    if (x_RD.defined()) last_R.push_back(x_RD.select(1, x_RD.size(1) - 1).to(at::kDouble));
  if (!last_R.empty()) add("dag/norm_final_values", at::stack(last_R, 1));
  if (!names.empty()) figures.add(names, at::stack(means), static_cast<double>(rows.count()));
}

// The last row that is valid of each of B sequences that has one.
Tensor last_rows(const Tensor& valid_R, const Tensor& x_RX, int64_t B) {
  const auto integer = x_RX.options().requires_grad(false).dtype(at::kLong);
  const int64_t T = x_RX.size(0) / B;
  const Tensor place_T = at::arange(1, T + 1, integer), first_B = at::arange(B, integer) * T;
  Tensor place_BT = place_T.expand({B, T});  // 0: not valid
  if (valid_R.defined()) place_BT = place_BT * valid_R.view({B, T});
  const Tensor last_B = place_BT.amax(1);
  return (first_B + last_B - 1).masked_select(last_B.gt(0));
}

void add_counts(const Recorded& seen, Figures& figures) {
  const Tensor counts_5 = seen.counts_RX.select(0, 0).to(at::kDouble);
  figures.add_sums({"dag/clipped", "dag/cancelled", "dag/divided_by_zero", "dag/nonfinite"},
                   counts_5.narrow(0, 1, 4), counts_5[0].expand({4}));
}

// What a recorded tensor's slope is afterwards: zeros where there is none.
class Slope {
 public:
  Slope() = default;
  explicit Slope(const Tensor& x) : x_(x) {
    if (x_.defined() && x_.requires_grad()) x_.retain_grad();
  }
  bool defined() const { return x_.defined(); }
  Tensor value() const {
    const Tensor grad = x_.grad();
    return grad.defined() ? grad.detach() : x_.detach().new_zeros(x_.sizes());
  }

 private:
  Tensor x_;
};

void add_slopes(const std::string& what, const Tensor& grad, Figures& figures) {
  const auto n = static_cast<double>(grad.numel());
  const Tensor norm = at::norm(grad).to(at::kDouble), mean = grad.mean().to(at::kDouble);
  // As the norm and the mean have it, without another look at all of them.
  const Tensor std = (norm.square() / n - mean.square()).clamp_min(0).sqrt();
  figures.add({"grad/" + what + "/norm", "grad/" + what + "/mean", "grad/" + what + "/std"},
              at::stack({norm, mean, std}));
}

}  // namespace

OperationUse operation_use(const Tensor& p_MN) {
  if (p_MN.size(1) < 2) return {0, 1, 0};
  const Entropies h = entropies_of(p_MN);
  const auto in_unit = [](double x) { return std::clamp(x, 0.0, 1.0); };
  const double of_mean = h.of_mean.item<double>(), mean = h.mean.item<double>();
  return {in_unit(of_mean), in_unit(1 - mean), in_unit(of_mean - mean)};
}

std::map<std::string, Metric> forward_log(const Recorded& seen, const Tensor& valid_R, int64_t B,
                                          const DagSettings& settings, bool training) {
  if (settings.depth == 0) return {};
  const at::NoGradGuard no_grad;
  const Chosen rows(valid_R, seen.op_RX.size(0));
  if (rows.count() == 0) return {};
  Figures figures;
  Recorded chosen;
  chosen.op_RX = rows.of(seen.op_RX);
  add_operations(chosen.op_RDN(settings), settings, training, figures);
  add_program_norms(seen, rows, figures);
  if (seen.hidden_RH.defined()) {
    add_values(seen, rows, figures);
    add_norms("dag/", seen, rows, figures);
    add_norms("dag/last/", seen, Chosen(last_rows(valid_R, seen.hidden_RH, B)), figures);
    add_counts(seen, figures);
  }
  if (seen.gate_R1.defined()) {
    const Tensor gate_K1 = rows.of(seen.gate_R1);
    figures.add({"dag/gate_mean"}, gate_K1.mean(), static_cast<double>(rows.count()));
    if (!training) figures.add({"dag/gate_max"}, gate_K1.max());
  }
  return figures.take();
}

AfterBackward gradient_log(const Recorded& seen, const DagSettings& settings) {
  if (settings.depth == 0) return {};
  const Slope op(seen.op_RX), hidden(seen.hidden_RH), gate(seen.gate_R1),
      original(seen.original_RH);
  const Numbers& first = seen.values_RV;
  const Slope first_sign(first.sign), first_log(first.log), first_real(first.real);
  const Numbers& steps = seen.steps_RD;
  std::vector<Slope> values;
  for (const Tensor& x_RD : {steps.real, steps.sign, steps.log})
    if (x_RD.defined()) values.emplace_back(x_RD);
  return [=] {
    const at::NoGradGuard no_grad;
    Figures figures;
    const auto N = static_cast<int64_t>(settings.operations.size());
    const Tensor op_N = op.value().view({-1, N}).to(at::kDouble).mean(0);
    figures.add(named("grad/op/", settings.operations), op_N);
    figures.add({"grad/op/mean"}, op_N.mean());
    if (first_sign.defined()) add_slopes("first_signs", first_sign.value(), figures);
    if (first_log.defined()) add_slopes("first_logs", first_log.value(), figures);
    if (first_real.defined()) add_slopes("first_values", first_real.value(), figures);
    if (hidden.defined()) add_slopes("final_hidden", hidden.value(), figures);
    if (original.defined()) add_slopes("original", original.value(), figures);
    if (gate.defined()) add_slopes("gate", gate.value(), figures);
    std::vector<Tensor> last_R;
    for (const Slope& x : values) last_R.push_back(x.value().select(1, settings.depth - 1));
    if (!last_R.empty()) add_slopes("final_values", at::stack(last_R), figures);
    return figures.take();
  };
}

}  // namespace fathom::dag
