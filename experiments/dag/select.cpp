#include "experiments/dag/select.h"

#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <limits>

#include "experiments/dag/precision.h"

namespace fathom::dag {
namespace {

// To which logits are held: what their type, as the layer gave them, can tell apart.
double most_logit(at::ScalarType type) {
  if (type == at::kHalf) return 8;
  return type == at::kBFloat16 ? 20 : 40;
}

// -ln(-ln u); u in half precision may have been rounded to 1.
Tensor gumbel_noise(const Tensor& uniform, at::ScalarType type) {
  const double least = std::numeric_limits<float>::min();
  const double most = 1 - (type == at::kDouble ? std::numeric_limits<double>::epsilon()
                                               : std::numeric_limits<float>::epsilon()) /
                              2;
  return uniform.detach().to(type).clamp(least, most).log().neg().log().neg();
}

// 1 at the largest share of each row, with the shares' gradient.
Tensor one_hot_of(const Tensor& share) {
  const Tensor largest = share.detach().argmax(-1, /*keepdim=*/true);
  // The bracket is 0 to the bit, which hard + soft - soft would not be.
  return at::zeros_like(share.detach()).scatter(-1, largest, 1) + (share - share.detach());
}

}  // namespace

Tensor select(const Tensor& logits, const Tensor& hidden, const SelectOptions& options) {
  const bool gumbel = options.select == Select::kGumbel || options.select == Select::kGumbelSt;
  const double most = most_logit(logits.scalar_type());
  Tensor scores = widened(logits).clamp(-most, most);
  if (gumbel) {
    if (options.uniform.defined())
      scores = scores + gumbel_noise(options.uniform, scores.scalar_type());
    scores = scores / options.gumbel_temperature;
  } else {
    scores =
        scores * (std::sqrt(static_cast<double>(logits.size(-1))) / options.softmax_temperature);
  }
  if (hidden.defined())
    scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  const Tensor share = at::softmax(scores, -1);
  const bool hard = options.select == Select::kGumbelSt || options.select == Select::kStArgmax;
  return hard ? one_hot_of(share) : share;
}

double temperature_at(double begin, double end, int64_t step, int64_t steps) {
  if (step >= steps) return end;
  if (step <= 0) return begin;
  return begin * std::pow(end / begin, static_cast<double>(step) / static_cast<double>(steps));
}

}  // namespace fathom::dag
