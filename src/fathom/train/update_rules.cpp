#include "fathom/train/update_rules.h"

#include <ATen/ops/lerp.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/ops/newton_schulz.h"
#include "fathom/ops/optimizer.h"

namespace fathom {
namespace {

Tensor gradient(const Update& u) {
  return u.gradient_scale == 1 ? u.w.grad() : u.w.grad() * u.gradient_scale;
}

// With the decay in it: that of L2 regularisation.
Tensor coupled_gradient(const Update& u) {
  return u.weight_decay == 0 ? gradient(u) : gradient(u).add(u.w, u.weight_decay);
}

// By how much a mean that began at zero is too small.
double correction(double beta, int64_t n) {
  return 1 - std::pow(beta, static_cast<double>(n));
}

// Loshchilov and Hutter 2019:
//   w -= rate decay w;  w -= rate m_hat / (sqrt(v_hat) + eps)
void adamw_update(const OptimizerConfig& c, const Update& u) {
  AdamWStep s;
  s.gradient_scale = u.gradient_scale;
  s.beta1 = c.beta1;
  s.beta2 = c.beta2;
  s.eps = c.adam_eps;
  s.keep = 1 - u.rate * u.weight_decay;
  s.step_size = u.rate / correction(c.beta1, u.n);
  s.root = std::sqrt(correction(c.beta2, u.n));
  adamw(s, u.w, u.state[0], u.state[1]);
}

// Kingma and Ba 2015.
void adam_update(const OptimizerConfig& c, const Update& u) {
  const Tensor g = coupled_gradient(u), &m = u.state[0], &v = u.state[1];
  m.mul_(c.beta1).add_(g, 1 - c.beta1);
  v.mul_(c.beta2).addcmul_(g, g, 1 - c.beta2);
  const Tensor root = (v / correction(c.beta2, u.n)).sqrt_().add_(c.adam_eps);
  u.w.addcdiv_(m, root, -u.rate / correction(c.beta1, u.n));
}

// Duchi et al. 2011:  sum += g^2;  w -= rate g / (sqrt(sum) + eps)
void adagrad_update(const OptimizerConfig& c, const Update& u) {
  const Tensor g = coupled_gradient(u), &sum = u.state[0];
  sum.addcmul_(g, g);
  u.w.addcdiv_(g, sum.sqrt().add_(c.adam_eps), -u.rate);
}

// As in torch, without dampening:  buffer = momentum buffer + g;  w -= rate buffer
void sgd_update(const OptimizerConfig& c, const Update& u) {
  const Tensor& buffer = u.state[0];
  buffer.mul_(c.momentum).add_(coupled_gradient(u));
  u.w.sub_(buffer, u.rate);
}

// Hinton's lecture:  a = alpha a + (1 - alpha) g^2;  w -= rate g / (sqrt(a) + eps)
void rmsprop_update(const OptimizerConfig& c, const Update& u) {
  const Tensor g = coupled_gradient(u), &square_avg = u.state[0];
  square_avg.mul_(c.rmsprop_alpha).addcmul_(g, g, 1 - c.rmsprop_alpha);
  u.w.addcdiv_(g, square_avg.sqrt().add_(c.adam_eps), -u.rate);
}

// Jordan et al. 2024 for the model's inner matrices, AdamW for all else:
//   m = mu m + (1 - mu) g;  w -= rate decay w
//   w -= rate sqrt(max(1, rows / columns)) orthogonalised(mu m + (1 - mu) g)
// and without Nesterov's step ahead, orthogonalised(m).
void muon_update(const OptimizerConfig& c, const Update& u) {
  if (u.state.size() == 2) return adamw_update(c, u);
  const Tensor g = gradient(u), &buffer = u.state[0];
  buffer.lerp_(g, 1 - c.muon_momentum);
  const Tensor ahead = c.muon_nesterov ? at::lerp(g, buffer, c.muon_momentum) : buffer;
  const Tensor direction = orthogonalised(ahead, c.muon_ns_steps);
  const double rate = u.rate * c.muon_lr / c.learning_rate;
  const auto rows = static_cast<double>(u.w.size(0)), columns = static_cast<double>(u.w.size(1));
  u.w.mul_(1 - rate * u.weight_decay);
  u.w.sub_(direction, rate * std::sqrt(std::max(1.0, rows / columns)));
}

// Defazio et al. 2024, algorithm 1. The gradient is that of y, where the parameter is:
//   v = beta2 v + (1 - beta2) g^2;  r = rate sqrt(1 - beta2^n)
//   z -= r g / (sqrt(v) + eps) + r decay y;  x += (z - x) r^2 / (sum of all r^2)
//   y = (1 - beta1) z + beta1 x
void schedule_free_update(const OptimizerConfig& c, const Update& u) {
  const Tensor g = gradient(u), &y = u.w, &v = u.state[0], &z = u.state[1], &x = u.state[2],
               &weight_sum = u.state[3];
  const double rate = u.rate * std::sqrt(correction(c.beta2, u.n));
  v.mul_(c.beta2).addcmul_(g, g, 1 - c.beta2);
  z.addcdiv_(g, v.sqrt().add_(c.adam_eps), -rate).sub_(y, rate * u.weight_decay);
  weight_sum.add_(rate * rate);
  const auto sum = weight_sum.item<double>();
  if (sum > 0) x.lerp_(z, std::min(1.0, rate * rate / sum));
  y.copy_(at::lerp(z, x, c.beta1));
}

}  // namespace

UpdateRule update_rule(const std::string& optimizer) {
  static const std::map<std::string, UpdateRule> rules = {
      {"adamw", adamw_update},
      {"adam", adam_update},
      {"adagrad", adagrad_update},
      {"sgd", sgd_update},
      {"rmsprop", rmsprop_update},
      {"muon", muon_update},
      {"schedule_free_adamw", schedule_free_update},
  };
  const auto found = rules.find(optimizer);
  if (found == rules.end())
    fail(fmt::format("the optimiser {} has no rule", in_quotes(optimizer)),
         "train/update_rules.cpp has one for each of recipe/optimizer_rules.cpp");
  return found->second;
}

}  // namespace fathom
