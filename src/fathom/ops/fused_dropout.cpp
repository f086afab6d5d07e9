// Dropout whose multipliers are drawn anew by the backward pass.
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fathom/kernels/random_field.h"
#include "fathom/ops/fused.h"

namespace fathom::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// What backward needs.
struct Draws : torch::CustomClassHolder {
  explicit Draws(std::shared_ptr<const RowDropout> of_rows) : rows(std::move(of_rows)) {}
  std::shared_ptr<const RowDropout> rows;
};

Tensor multiplied(const Tensor& x, const RowDropout& d) {
  const RowsOf rows(x);
  Tensor y = new_tensor(x.sizes());
  drop_rows({d.p, d.seed, d.streams.data(), d.firsts.data()}, rows.data, rows.rows, rows.columns,
            y.data_ptr<float>());
  return y;
}

class DropoutFunction : public Function<DropoutFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const c10::intrusive_ptr<Draws>& d) {
    ctx->saved_data["draws"] = c10::IValue::make_capsule(d);
    return multiplied(x, *d->rows);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto d = c10::static_intrusive_pointer_cast<Draws>(ctx->saved_data["draws"].toCapsule());
    return {fused::apply_dropout(gradients[0], d->rows), Tensor()};
  }
};

}  // namespace

Tensor apply_dropout(const Tensor& x_RC, const std::shared_ptr<const RowDropout>& draws) {
  if (!at::GradMode::is_enabled()) return multiplied(x_RC, *draws);
  return DropoutFunction::apply(x_RC, c10::make_intrusive<Draws>(draws));
}

}  // namespace fathom::fused
