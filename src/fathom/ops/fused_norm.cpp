// LayerNorm and RMSNorm over kernels/norm.h.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fathom/kernels/norm.h"
#include "fathom/ops/fused.h"

namespace fathom::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

NormProblem problem(const RowsOf& x, const Tensor& weight, double eps, bool centred) {
  NormProblem p;
  p.x = x.data;
  p.rows = x.rows;
  p.columns = x.columns;
  p.weight = floats(weight);
  p.eps = eps;
  p.centred = centred;
  return p;
}

class NormFunction : public Function<NormFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight,
                        const c10::optional<Tensor>& bias, double eps, bool centred) {
    const RowsOf rows(x);
    NormProblem p = problem(rows, weight, eps, centred);
    p.bias = data_or_null(bias);
    const Tensor y = new_tensor(x.sizes());
    if (ctx == nullptr) {
      norm_forward(p, floats(y), nullptr, nullptr);
    } else {
      const Tensor statistics = new_tensor({2, rows.rows});
      auto* mean = statistics.data_ptr<float>();
      norm_forward(p, y.data_ptr<float>(), mean, mean + rows.rows);
      ctx->save_for_backward({rows.tensor, weight, statistics});
      ctx->saved_data["eps"] = eps;
      ctx->saved_data["centred"] = centred;
      ctx->saved_data["wanted"] = Wanted({x, weight, bias}).bits();
    }
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &statistics = saved[2];
    const RowsOf rows(x), d_y(gradients[0]);
    const NormProblem p = problem(rows, weight, ctx->saved_data["eps"].toDouble(),
                                  ctx->saved_data["centred"].toBool());
    const auto* mean = statistics.data_ptr<float>();
    variable_list out(5);
    const Wanted wanted(ctx->saved_data["wanted"].toInt());
    const auto gradient = [&](int input, const Tensor& like) -> float* {
      if (!wanted[input]) return nullptr;
      const auto i = static_cast<size_t>(input);
      out[i] = at::empty_like(like);
      return out[i].data_ptr<float>();
    };
    float *d_x = gradient(0, x), *d_weight = gradient(1, weight), *d_bias = gradient(2, weight);
    norm_backward(p, mean, mean + rows.rows, d_y.data, d_x, d_weight, d_bias);
    return out;
  }
};

Tensor norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, bool centred) {
  check_vector(weight, x.size(-1));
  check_vector(bias, x.size(-1));
  const Tensor w = weight.contiguous();
  if (!at::GradMode::is_enabled())
    return NormFunction::forward(nullptr, x, w, maybe(bias), eps, centred);
  return NormFunction::apply(x, w, maybe(bias), eps, centred);
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  return norm(x, weight, bias, eps, /*centred=*/true);
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  return norm(x, weight, bias, eps, /*centred=*/false);
}

}  // namespace fathom::fused
