#include "fathom/ops/score_rows.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/topk.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "fathom/kernels/units.h"
#include "fathom/ops/few_rows.h"
#include "fathom/ops/ops.h"
#include "fathom/ops/tensor_pool.h"

namespace fathom {
namespace {

bool are_on_hand(const Tensor& scores_RV) {
  return has_kernels(scores_RV) && scores_RV.is_contiguous();
}

Tensor ln_p(const Tensor& scores_RV, double temperature) {
  const Tensor wide_RV = scores_RV.to(at::kDouble);
  return at::log_softmax(temperature == 1 ? wide_RV : wide_RV / temperature, -1);
}

// A row's scores, less the largest: p = exp(z) / sum.
class RowScores {
 public:
  RowScores(const float* scores, int64_t V, double temperature)
      : scores_(scores), V_(V), temperature_(temperature) {
    for (int64_t v = 0; v < V; ++v) largest_ = std::max(largest_, scaled(v));
  }
  double z(int64_t v) const { return scaled(v) - largest_; }
  int64_t size() const { return V_; }

 private:
  double scaled(int64_t v) const { return double{scores_[v]} / temperature_; }

  const float* scores_;
  int64_t V_;
  double temperature_, largest_ = -std::numeric_limits<double>::infinity();
};

// f(row) of each.
template <class F>
Tensor of_rows(const Tensor& scores_RV, const F& f) {
  const int64_t R = scores_RV.size(0);
  Tensor out_R = new_tensor({R}, at::kDouble);
  auto* out = out_R.data_ptr<double>();
  run_units(R, /*small=*/scores_RV.numel() < kFewNumbers, [&](int64_t row) { out[row] = f(row); });
  return out_R;
}

// What min-p leaves of a row, as scores whose softmax it is: those of likely tokens, and for the
// others what 1 / V is beside them.
class MinPScores {
 public:
  explicit MinPScores(const RowScores& scores) : scores_(scores) {
    double all = 0;
    for (int64_t v = 0; v < scores.size(); ++v) all += std::exp(scores.z(v));
    low_ = std::log(all / static_cast<double>(scores.size()));
  }
  double z(int64_t v) const {
    const double z = scores_.z(v);
    return z < least_ ? low_ : z;
  }

 private:
  const RowScores& scores_;
  double low_ = 0;
  const double least_ = std::log(kMinP);
};

RowScores row_of(const Tensor& scores_RV, int64_t row, double temperature) {
  const int64_t V = scores_RV.size(1);
  return {scores_RV.data_ptr<float>() + row * V, V, temperature};
}

bool are_alike_on_hand(const Tensor& a_RV, const Tensor& b_RV) {
  return are_on_hand(a_RV) && are_on_hand(b_RV) && a_RV.sizes() == b_RV.sizes();
}

// Of the softmax of a's z and that of b's.
template <class Scores>
double divergence_of(const Scores& a, const Scores& b, int64_t V) {
  double sum_a = 0, sum_b = 0, weighted = 0;
  for (int64_t v = 0; v < V; ++v) {
    const double z_a = a.z(v), z_b = b.z(v), e = std::exp(z_a);
    sum_a += e;
    sum_b += std::exp(z_b);
    weighted += e * (z_a - z_b);
  }
  const double kl = weighted / sum_a - (std::log(sum_a) - std::log(sum_b));
  return kl < 0 ? 0 : kl;  // by rounding; what is no number stays so
}

Tensor divergence_of_ln(const Tensor& ln_a_RV, const Tensor& ln_b_RV) {
  return (ln_a_RV.exp() * (ln_a_RV - ln_b_RV)).sum(1).clamp_min(0);
}

// The logarithm of what min-p leaves.
Tensor ln_m(const Tensor& scores_RV) {
  const Tensor ln_p_RV = ln_p(scores_RV, 1);
  const Tensor unlikely_RV = ln_p_RV.lt(ln_p_RV.amax(1, true) + std::log(kMinP));
  const double alike = -std::log(static_cast<double>(scores_RV.size(1)));
  return at::log_softmax(ln_p_RV.masked_fill(unlikely_RV, alike), -1);
}

}  // namespace

Tensor entropies(const Tensor& scores_RV, double temperature) {
  const at::NoGradGuard no_grad;
  if (!are_on_hand(scores_RV)) {
    const Tensor ln_p_RV = ln_p(scores_RV, temperature);
    return -(ln_p_RV.exp() * ln_p_RV).sum(1);
  }
  return of_rows(scores_RV, [&](int64_t row) {
    const RowScores a = row_of(scores_RV, row, temperature);
    double sum = 0, weighted = 0;
    for (int64_t v = 0; v < a.size(); ++v) {
      const double z = a.z(v), e = std::exp(z);
      sum += e;
      weighted += e * z;
    }
    return std::log(sum) - weighted / sum;
  });
}

Tensor margins(const Tensor& scores_RV, double temperature) {
  const at::NoGradGuard no_grad;
  if (!are_on_hand(scores_RV)) {
    const Tensor ln_p_RV = ln_p(scores_RV, temperature);
    if (ln_p_RV.size(1) < 2) return ln_p_RV.select(1, 0).exp();
    const Tensor two_R2 = std::get<0>(at::topk(ln_p_RV, 2, 1)).exp();
    return two_R2.select(1, 0) - two_R2.select(1, 1);
  }
  return of_rows(scores_RV, [&](int64_t row) {
    const RowScores a = row_of(scores_RV, row, temperature);
    double sum = 0, first = 0, second = 0;
    for (int64_t v = 0; v < a.size(); ++v) {
      const double e = std::exp(a.z(v));
      sum += e;
      second = std::max(second, std::min(first, e));
      first = std::max(first, e);
    }
    return (first - second) / sum;
  });
}

Tensor divergences(const Tensor& a_RV, const Tensor& b_RV, double temperature) {
  const at::NoGradGuard no_grad;
  if (!are_alike_on_hand(a_RV, b_RV))
    return divergence_of_ln(ln_p(a_RV, temperature), ln_p(b_RV, temperature));
  return of_rows(a_RV, [&](int64_t row) {
    const RowScores a = row_of(a_RV, row, temperature), b = row_of(b_RV, row, temperature);
    return divergence_of(a, b, a.size());
  });
}

Tensor divergences_min_p(const Tensor& a_RV, const Tensor& b_RV) {
  const at::NoGradGuard no_grad;
  if (!are_alike_on_hand(a_RV, b_RV)) return divergence_of_ln(ln_m(a_RV), ln_m(b_RV));
  return of_rows(a_RV, [&](int64_t row) {
    const RowScores a = row_of(a_RV, row, 1), b = row_of(b_RV, row, 1);
    return divergence_of(MinPScores(a), MinPScores(b), a.size());
  });
}

}  // namespace fathom
