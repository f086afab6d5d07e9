#include "fathom/train/spectral.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/linalg_svd.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "fathom/ops/newton_schulz.h"
#include "fathom/ops/ops.h"
#include "fathom/ops/optimizer.h"

namespace fathom {
namespace {

// Far more than the bound's own rounding, so that what it lets pass would not have been clipped.
constexpr double kMargin = 1e-5;

bool is_tall(const Tensor& matrix) {
  return matrix.size(0) > matrix.size(1);
}

Tensor wide(const Tensor& matrix) {
  return (is_tall(matrix) ? matrix.t() : matrix).contiguous();
}

double norm_of(const Tensor& matrix) {
  return std::sqrt(squared_norm(matrix));
}

Tensor clipped_by_svd(const Tensor& X, double beta) {
  const auto [U, S, Vh] = at::linalg_svd(X, /*full_matrices=*/false);
  return X - (U * (S - beta).clamp_min(0)).matmul(Vh);
}

// More steps than the eight, for a D that is far above beta: what they leave undone of it, about
// 3e-5 of its norm, would show in the values around beta.
int64_t more_steps(double norm, double beta) {
  constexpr double kResolved = 50, kGain = 1.875;
  constexpr int64_t kMost = 40;
  int64_t steps = 0;
  for (; norm > kResolved * beta && steps < kMost; norm /= kGain) ++steps;
  return steps;
}

Tensor clipped_by_signs(const Tensor& X, const SpectralConfig& c, int64_t ns_steps) {
  const bool reference = c.method == SpectralMethod::kReferenceNs5;
  const double beta = c.clip_beta;
  const Tensor M = reference ? orthogonalised(X, ns_steps) : polar_express(X);
  const Tensor D = M * beta - X;
  const Tensor sign =
      reference ? orthogonalised(D, ns_steps) : polar_express(D, more_steps(norm_of(D), beta));
  // linear(P, Q) is P Q'.
  const Tensor excess = linear(linear(D, sign, Tensor()), M.t().contiguous(), Tensor());
  return (M * beta + X - excess) * 0.5;
}

bool is_inner_matrix(const ParameterSpec& spec) {
  // What is read by row (ids, positions, iterations) is no map.
  return spec.shape.size() >= 2 && spec.part != Part::kTokenTable &&
         spec.part != Part::kPositionTable && spec.part != Part::kSignal &&
         spec.part != Part::kHead;
}

// "attention.3.q.weight" of "attention.3.qkv.weight", for each of the maps that are one below the
// other in it; empty: it is one map.
std::vector<std::string> maps_within(const ParameterSpec& spec) {
  if (spec.part != Part::kAttention || spec.shape.size() != 2) return {};
  for (const std::string maps : {"qkv", "qk"}) {
    const size_t at = spec.name.rfind("." + maps + ".weight");
    if (at == std::string::npos) continue;
    std::vector<std::string> names;
    for (const char map : maps)
      names.push_back(spec.name.substr(0, at + 1) + map + spec.name.substr(at + 1 + maps.size()));
    return names;
  }
  return {};
}

}  // namespace

// The root of the largest eigenvalue of X X': of the largest value, squaring costs no digits.
double largest_singular_value(const Tensor& matrix) {
  const at::NoGradGuard no_grad;
  const Tensor X = wide(matrix).to(at::kDouble);
  const Tensor squares = at::linalg_eigvalsh(X.matmul(X.t()));  // in ascending order
  return std::sqrt(std::max(0.0, squares.select(0, squares.size(0) - 1).item<double>()));
}

Tensor spectrally_clipped(const Tensor& W, const SpectralConfig& config, int64_t ns_steps) {
  const at::NoGradGuard no_grad;
  const bool is_exact = config.method == SpectralMethod::kSvd || W.scalar_type() == at::kDouble;
  const Tensor X = wide(W).to(is_exact ? at::kDouble : at::kFloat);
  const Tensor clipped = config.method == SpectralMethod::kSvd
                             ? clipped_by_svd(X, config.clip_beta)
                             : clipped_by_signs(X, config, ns_steps);
  return (is_tall(W) ? clipped.t() : clipped).to(W.scalar_type());
}

SpectralControl::SpectralControl(const ParameterSet& parameters, const Optimizer& optimizer,
                                 const SpectralConfig& config, int64_t ns_steps)
    : config_(config), ns_steps_(ns_steps) {
  if (!config.is_on()) return;
  const std::vector<Parameter>& all = parameters.all();
  for (size_t i = 0; i < all.size(); ++i) {
    const Parameter& p = all[i];
    if (!is_inner_matrix(p.spec)) continue;
    add(p.spec.name, p.spec, p.tensor, p.tensor);
    const Optimizer::State& state = optimizer.state()[i];
    if (state.frozen) continue;
    for (size_t t = 0; t < state.tensors.size(); ++t)
      if (state.about[t].begins == StateTensor::kWeights)
        add("", p.spec, p.tensor, state.tensors[t]);
  }
}

void SpectralControl::add(const std::string& name, const ParameterSpec& spec,
                          const Tensor& parameter, const Tensor& weights) {
  const Tensor w = weights.detach();
  const std::vector<std::string> maps =
      config_.split_qkv ? maps_within(spec) : std::vector<std::string>();
  const auto parts = static_cast<int64_t>(maps.size());
  if (parts > 0 && w.size(0) % parts == 0) {
    const int64_t rows = w.size(0) / parts;
    for (int64_t i = 0; i < parts; ++i)
      matrices_.push_back({name.empty() ? name : maps[static_cast<size_t>(i)], parameter,
                           w.narrow(0, i * rows, rows)});
    return;
  }
  if (w.dim() == 2) {
    matrices_.push_back({name, parameter, w});
    return;
  }
  const Tensor stack = w.view({-1, w.size(-2), w.size(-1)});
  for (int64_t i = 0; i < stack.size(0); ++i)
    matrices_.push_back(
        {name.empty() ? name : fmt::format("{}/{}", name, i), parameter, stack.select(0, i)});
}

bool SpectralControl::is_within_bound(const Matrix& m) const {
  return m.anchor.defined() &&
         m.at_anchor + norm_of(m.weights - m.anchor) <= config_.clip_beta * (1 - kMargin);
}

double SpectralControl::measure(Matrix& m) {
  ++counts_.measured;
  m.at_anchor = largest_singular_value(m.weights);
  // One that is already at beta would need no step's length to leave the bound.
  m.anchor = m.at_anchor < config_.clip_beta * (1 - kMargin) ? m.weights.clone() : Tensor();
  return m.at_anchor;
}

SpectralControl::Outcome SpectralControl::control(Matrix& m, bool acts, bool reports) {
  const bool reference = config_.method == SpectralMethod::kReferenceNs5;
  const bool is_below = !reference && is_within_bound(m);
  if (acts && is_below) ++counts_.skipped;
  if (is_below && !reports) return {};
  Outcome out;
  const double norm = norm_of(m.weights);
  if (norm == 0 || !std::isfinite(norm)) {
    ++(norm == 0 ? counts_.zero : counts_.not_finite);
    out.left_alone = true;
    return out;
  }
  if (reports || !reference) out.before = out.after = measure(m);
  if (!acts || is_below || (!reference && out.before <= config_.clip_beta)) return out;
  const Tensor clipped = spectrally_clipped(m.weights, config_, ns_steps_);
  if (!std::isfinite(squared_norm(clipped))) {
    ++counts_.not_finite;
    out.left_alone = true;
    return out;
  }
  m.weights.copy_(clipped);
  m.anchor = Tensor();
  ++counts_.clipped;
  out.clipped = true;
  if (!reports) return out;
  ++counts_.measured;
  out.after = largest_singular_value(m.weights);
  return out;
}

std::map<std::string, double> SpectralControl::after_update(int64_t updates, bool reports) {
  std::map<std::string, double> numbers;
  const bool acts = updates % config_.every == 0;
  if (matrices_.empty() || !(acts || reports)) return numbers;
  const at::NoGradGuard no_grad;
  double largest = 0, clipped = 0, left_alone = 0;
  for (Matrix& m : matrices_) {
    if (!m.parameter.requires_grad()) continue;
    const bool shows = reports && !m.name.empty();
    const Outcome out = control(m, acts, shows);
    clipped += out.clipped;
    left_alone += out.left_alone && shows;
    if (!shows || out.after < 0) continue;
    numbers["spectral/before/" + m.name] = out.before;
    numbers["spectral/after/" + m.name] = out.after;
    largest = std::max(largest, out.after);
  }
  if (!reports) return {};
  numbers["spectral/largest"] = largest;
  numbers["spectral/clipped"] = clipped;
  numbers["spectral/left_alone"] = left_alone;
  return numbers;
}

}  // namespace fathom
