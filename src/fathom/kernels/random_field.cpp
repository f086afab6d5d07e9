#include "fathom/kernels/random_field.h"

#include "fathom/base/random.h"

namespace fathom {

void fill_dropout(Span<float> out, double p, uint64_t seed, uint64_t stream, uint64_t first) {
  const auto keep = static_cast<float>(1.0 / (1.0 - p));
  // Dropped when the 32-bit draw is below p * 2^32.
  const auto threshold = static_cast<uint64_t>(p * 4294967296.0);
  // One Philox block holds four consecutive draws.
  for (size_t i = 0; i < out.size();) {
    const uint64_t index = first + i;
    const PhiloxBlock block = philox(seed, index / 4, stream);
    for (uint64_t lane = index % 4; lane < 4 && i < out.size(); ++lane, ++i)
      out[i] = block[lane] < threshold ? 0.0f : keep;
  }
}

}  // namespace fathom
