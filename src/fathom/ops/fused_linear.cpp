// Linear maps and the MLP over kernels/gemm.h.
#include <ATen/core/DimVector.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fathom/kernels/gemm.h"
#include "fathom/kernels/norm.h"
#include "fathom/ops/fused.h"
#include "fathom/ops/kept_weights.h"

namespace fathom::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

Matrix matrix(const RowsOf& x) {
  return row_major(x.data, x.rows, x.columns);
}

// x W, or x W^T.
void multiply(const RowsOf& x, const Tensor& weight, bool transposed, const Tensor& y,
              GemmFinish finish) {
  const RowsOf w(weight);
  const int64_t columns = transposed ? w.rows : w.columns;
  auto* out = floats(y);
  finish.other_stride = columns;
  if (const PackedMatrix* kept = kept_weight(weight, transposed))
    gemm(matrix(x), *kept, out, columns, finish);
  else
    gemm(matrix(x), transposed ? matrix(w).transposed() : matrix(w), out, columns, finish);
}

// x W^T + b, of x's shape but for the last dimension. (Not a view of it: what a function returns
// may be changed in place.)
Tensor map(const RowsOf& x, const Tensor& weight, const GemmFinish& finish) {
  const RowsOf w(weight);
  at::DimVector shape(x.tensor.sizes());
  shape.back() = w.rows;
  Tensor y = new_tensor(shape);
  multiply(x, weight, /*transposed=*/true, y, finish);
  return y;
}

// d_y W
Tensor input_gradient(const RowsOf& d_y, const Tensor& weight, const GemmFinish& finish = {}) {
  const RowsOf w(weight);
  Tensor d_x = new_tensor({d_y.rows, w.columns});
  multiply(d_y, weight, /*transposed=*/false, d_x, finish);
  return d_x;
}

// d_y^T x
Tensor weight_gradient(const RowsOf& d_y, const RowsOf& x) {
  Tensor d_w = new_tensor({d_y.columns, x.columns});
  gemm(matrix(d_y).transposed(), matrix(x), d_w.data_ptr<float>(), x.columns);
  return d_w;
}

Tensor bias_gradient(const RowsOf& d_y) {
  Tensor d_b = new_tensor({d_y.columns});
  sum_rows(d_y.data, d_y.rows, d_y.columns, d_b.data_ptr<float>());
  return d_b;
}

class LinearFunction : public Function<LinearFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight,
                        const c10::optional<Tensor>& bias) {
    if (ctx != nullptr) {
      ctx->save_for_backward({x, weight});
      ctx->saved_data["wanted"] = Wanted({x, weight, bias}).bits();
    }
    GemmFinish finish;
    finish.bias = data_or_null(bias);
    return map(RowsOf(x), weight, finish);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const RowsOf d_y(gradients[0]);
    const Wanted wanted(ctx->saved_data["wanted"].toInt());
    variable_list out(3);
    if (wanted[0]) out[0] = input_gradient(d_y, weight).view(x.sizes());
    if (wanted[1]) out[1] = weight_gradient(d_y, RowsOf(x));
    if (wanted[2]) out[2] = bias_gradient(d_y);
    return out;
  }
};

class MlpFunction : public Function<MlpFunction> {
 public:
  // Only what goes into GELU is kept; what comes out of it is cheap to have again.
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& up,
                        const c10::optional<Tensor>& up_bias, const Tensor& down,
                        const c10::optional<Tensor>& down_bias, int64_t form) {
    const RowsOf rows(x);
    Tensor pre;
    if (ctx != nullptr) pre = new_tensor({rows.rows, up.size(0)});
    GemmFinish gelu, plain;
    gelu.kind = GemmFinish::kGelu;
    gelu.gelu = static_cast<GeluForm>(form);
    gelu.bias = data_or_null(up_bias);
    if (pre.defined()) gelu.pre = floats(pre);
    const Tensor activated = map(rows, up, gelu);
    plain.bias = data_or_null(down_bias);
    const Tensor y = map(RowsOf(activated), down, plain);
    if (ctx != nullptr) {
      ctx->save_for_backward({x, up, down, pre});
      ctx->saved_data["form"] = form;
      ctx->saved_data["wanted"] = Wanted({x, up, up_bias, down, down_bias}).bits();
    }
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &up = saved[1], &down = saved[2];
    const RowsOf d_y(gradients[0]), pre(saved[3]), rows(x);
    const Tensor activated = new_tensor({pre.rows, pre.columns});
    GemmFinish gelu;
    gelu.kind = GemmFinish::kGeluBackward;
    gelu.gelu = static_cast<GeluForm>(ctx->saved_data["form"].toInt());
    gelu.pre = pre.data;
    gelu.activated = activated.data_ptr<float>();
    const RowsOf d_pre(input_gradient(d_y, down, gelu));
    const Wanted wanted(ctx->saved_data["wanted"].toInt());
    variable_list out(6);
    if (wanted[0]) out[0] = input_gradient(d_pre, up).view(x.sizes());
    if (wanted[1]) out[1] = weight_gradient(d_pre, rows);
    if (wanted[2]) out[2] = bias_gradient(d_pre);
    if (wanted[3]) out[3] = weight_gradient(d_y, RowsOf(activated));
    if (wanted[4]) out[4] = bias_gradient(d_y);
    return out;
  }
};

}  // namespace

RowsOf::RowsOf(const Tensor& x)
    : tensor(x.contiguous()),
      data(floats(tensor)),
      rows(x.size(-1) == 0 ? 0 : x.numel() / x.size(-1)),
      columns(x.size(-1)) {}

void check_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  TORCH_CHECK(x.dim() > 0, "a single number cannot be mapped");
  check_linear(x.size(-1), weight, bias);
}

void check_linear(int64_t columns, const Tensor& weight, const Tensor& bias) {
  TORCH_CHECK(weight.dim() == 2 && weight.size(1) == columns, "a weight of [", weight.sizes(),
              "] cannot map rows of ", columns);
  TORCH_CHECK(has_floats(weight), "a weight in another precision or on another device");
  check_vector(bias, weight.size(0));
}

void check_vector(const Tensor& x, int64_t size) {
  TORCH_CHECK(!x.defined() || (x.dim() == 1 && x.size(0) == size && has_floats(x)),
              "a bias or a norm's weight of [", x.sizes(), "] where ", size, " are needed");
}

const float* data_or_null(const c10::optional<Tensor>& t) {
  return t.has_value() && t->defined() ? t->data_ptr<float>() : nullptr;
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_linear(x, weight, bias);
  if (!at::GradMode::is_enabled()) return LinearFunction::forward(nullptr, x, weight, maybe(bias));
  return LinearFunction::apply(x, weight, maybe(bias));
}

Tensor mlp(const Tensor& x, const MlpWeights& w, GeluForm form) {
  check_linear(x, w.up, w.up_bias);
  check_linear(w.up.size(0), w.down, w.down_bias);
  const auto number = static_cast<int64_t>(form);
  const auto up_bias = maybe(w.up_bias), down_bias = maybe(w.down_bias);
  if (!at::GradMode::is_enabled())
    return MlpFunction::forward(nullptr, x, w.up, up_bias, w.down, down_bias, number);
  return MlpFunction::apply(x, w.up, up_bias, w.down, down_bias, number);
}

}  // namespace fathom::fused
