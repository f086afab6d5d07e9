#include "fathom/kernels/random_field.h"

#include "fathom/kernels/kernel_table.h"

namespace fathom {

void fill_dropout(Span<float> out, double p, uint64_t seed, uint64_t stream, uint64_t first) {
  kernels().fill_dropout(out.data(), static_cast<int64_t>(out.size()), p, seed, stream, first);
}

}  // namespace fathom
