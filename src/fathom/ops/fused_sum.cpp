// Residual additions, and rows of tables.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/embedding_dense_backward.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fathom/kernels/sum.h"
#include "fathom/ops/few_rows.h"
#include "fathom/ops/fused.h"

namespace fathom::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

class EmbedFunction : public Function<EmbedFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const c10::optional<Tensor>& x, const Tensor& table,
                        const Tensor& ids_R) {
    const int64_t R = ids_R.numel(), C = table.size(1);
    const Tensor y = new_tensor({R, C});
    add_rows_of_table({data_or_null(x), table.data_ptr<float>(), ids_R.data_ptr<int64_t>(), R, C},
                      y.data_ptr<float>());
    if (ctx != nullptr) {
      ctx->save_for_backward({ids_R});
      ctx->saved_data["rows"] = table.size(0);
      ctx->saved_data["wanted"] = Wanted({x, table}).bits();
    }
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const Wanted wanted(ctx->saved_data["wanted"].toInt());
    variable_list out(3);
    if (wanted[0]) out[0] = gradients[0];
    if (wanted[1])
      out[1] = at::embedding_dense_backward(gradients[0], ctx->get_saved_variables()[0],
                                            ctx->saved_data["rows"].toInt(), /*padding_idx=*/-1,
                                            /*scale_grad_by_freq=*/false);
    return out;
  }
};

}  // namespace

Tensor plus(const Tensor& a, const Tensor& b) {
  // A few rows without a graph: libtorch takes longer to find out what to do than to do it.
  const bool is_row = a.dim() == 2 && b.dim() == 2 && b.size(0) == 1 && b.size(1) == a.size(1);
  const bool few = a.numel() <= kFewNumbers && (a.sizes() == b.sizes() || is_row) &&
                   a.is_contiguous() && b.is_contiguous() && has_floats(b) &&
                   !at::GradMode::is_enabled();
  if (!few) return a + b;
  const Tensor sum = new_tensor(a.sizes());
  for (int64_t i = 0; i < a.numel(); i += b.numel())
    add(floats(a) + i, floats(b), b.numel(), floats(sum) + i);
  return sum;
}

Tensor embed(const Tensor& x_RC, const Tensor& table, const Tensor& ids_R) {
  const Tensor ids = ids_R.contiguous(), rows = table.contiguous();
  TORCH_CHECK(table.dim() == 2 && ids.dim() == 1 && ids.scalar_type() == at::kLong,
              "rows of a table of [", table.sizes(), "]");
  TORCH_CHECK(!x_RC.defined() || (has_floats(x_RC) && x_RC.dim() == 2 &&
                                  x_RC.size(0) == ids.numel() && x_RC.size(1) == table.size(1)),
              "rows of a table of [", table.sizes(), "] on [", x_RC.sizes(), "]");
  const auto* id = ids.data_ptr<int64_t>();
  for (int64_t i = 0; i < ids.numel(); ++i)
    TORCH_CHECK(id[i] >= 0 && id[i] < table.size(0), "row ", id[i], " of a table of ",
                table.size(0));
  if (at::GradMode::is_enabled()) return EmbedFunction::apply(maybe(x_RC), rows, ids);
  return EmbedFunction::forward(nullptr, maybe(x_RC), rows, ids);
}

}  // namespace fathom::fused
