#include "fathom/model/random_field.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "fathom/base/random.h"
#include "fathom/kernels/random_field.h"

namespace fathom {

DropoutField RandomField::dropout(const std::string& site, double p) const {
  if (p == 0) return {};
  return [=, field = *this](at::IntArrayRef shape, const Tensor& like) {
    const Tensor mask = at::empty(shape, at::TensorOptions(at::kFloat));
    const int64_t per_sequence = mask.numel() / shape[0];
    auto* data = mask.data_ptr<float>();
    const uint64_t site_hash = name_hash(site);
    at::parallel_for(0, shape[0], 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        // A block cipher's output names the stream of this step, sequence and site.
        const PhiloxBlock block =
            philox(static_cast<uint64_t>(field.step_),
                   static_cast<uint64_t>(field.first_sequence_ + b), site_hash);
        const uint64_t stream = block[0] | uint64_t{block[1]} << 32;
        fill_dropout({data + b * per_sequence, static_cast<size_t>(per_sequence)}, p, field.seed_,
                     stream, 0);
      }
    });
    return mask.to(like.device(), like.scalar_type());
  };
}

}  // namespace fathom
