#include "fathom/model/walk/readout.h"

#include "fathom/ops/few_rows.h"

namespace fathom {

Reading readout_of_some(const Tensor& n_RC, const Tensor& indices, const LinearParams& head,
                        const ReadoutRequest& request) {
  Reading out;
  if (indices.numel() == 0) {
    const Tensor zeros_R = zero_rows(n_RC.detach().select(1, 0), n_RC.size(0));
    if (request.ids_R.defined()) out.ln_p_R = out.ln_p_confidence_R = zeros_R;
    out.ln_max_R = out.ln_max_confidence_R = zeros_R;
    out.prediction_R = zero_rows(indices, n_RC.size(0));
    return out;
  }
  const auto some = [&](const Tensor& x_R) {
    return x_R.defined() ? take_rows(x_R, indices) : x_R;
  };
  ReadoutRequest of_some = request;
  of_some.ids_R = some(request.ids_R);
  of_some.weight_R = some(request.weight_R);
  out = readout(some(n_RC), head, of_some);
  for (Tensor Reading::*of : {&Reading::ln_p_R, &Reading::ln_max_R, &Reading::prediction_R,
                              &Reading::ln_max_confidence_R, &Reading::ln_p_confidence_R}) {
    const Tensor x_K = out.*of;
    if (x_K.defined()) out.*of = put_rows(zero_rows(x_K, n_RC.size(0)), indices, x_K);
  }
  return out;
}

}  // namespace fathom
