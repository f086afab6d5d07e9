#include "fathom/kernels/simd/functions.h"
#include "fathom/kernels/simd/vector.h"

namespace fathom {
namespace FATHOM_ISA {

void add(const float* a, const float* b, int64_t count, float* y) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, load(a + i) + load(b + i));
  if (i < count)
    store_part(y + i, load_part(a + i, count - i) + load_part(b + i, count - i), count - i);
}

}  // namespace FATHOM_ISA
}  // namespace fathom
