#include "fathom/model/walk/readout.h"

#include <ATen/ops/zeros.h>

namespace fathom {

Reading readout_of_some(const Tensor& n_RC, const Tensor& indices, const LinearParams& head,
                        const ReadoutRequest& request) {
  const auto options = n_RC.options().requires_grad(false);
  Reading out;
  if (indices.numel() == 0) {
    const Tensor zeros_R = at::zeros({n_RC.size(0)}, options);
    if (request.ids_R.defined()) out.ln_p_R = out.ln_p_confidence_R = zeros_R;
    out.ln_max_R = out.ln_max_confidence_R = zeros_R;
    out.prediction_R = at::zeros({n_RC.size(0)}, options.dtype(at::kLong));
    return out;
  }
  const auto some = [&](const Tensor& x_R) {
    return x_R.defined() ? x_R.index_select(0, indices) : x_R;
  };
  ReadoutRequest of_some = request;
  of_some.ids_R = some(request.ids_R);
  of_some.weight_R = some(request.weight_R);
  out = readout(some(n_RC), head, of_some);
  for (Tensor Reading::*of : {&Reading::ln_p_R, &Reading::ln_max_R, &Reading::prediction_R,
                              &Reading::ln_max_confidence_R, &Reading::ln_p_confidence_R}) {
    const Tensor x_K = out.*of;
    if (x_K.defined())
      out.*of =
          at::zeros({n_RC.size(0)}, x_K.options().requires_grad(false)).index_copy(0, indices, x_K);
  }
  return out;
}

}  // namespace fathom
