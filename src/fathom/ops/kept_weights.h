// Weights that several products have before they change, kept the way the kernels read them: those
// of shared layers and loops in a training step, and all of them in decoding.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>

#include "fathom/kernels/gemm.h"
#include "fathom/ops/in_use.h"
#include "fathom/ops/tensor.h"

namespace fathom {

class KeptWeights {
 public:
  static constexpr int64_t kNoLimit = INT64_MAX;

  // Keeps at most so many bytes, which come on top of the weights themselves.
  explicit KeptWeights(int64_t most_bytes);
  ~KeptWeights();
  KeptWeights(const KeptWeights&) = delete;
  KeptWeights& operator=(const KeptWeights&) = delete;

  // As long as it lives, products of this thread look here. A weight is kept from its second use
  // on, as long as its values stay (by the tensor's version); from the first one on if the values
  // before were used twice. It is given up when kMostIdle Uses have gone by without it: a layer
  // that most tokens leave before is used now and then.
  using Use = InUse<KeptWeights>;

  static constexpr int kMostIdle = 64;

  int64_t bytes() const { return bytes_; }

 private:
  friend class InUse<KeptWeights>;
  friend const PackedMatrix* kept_weight(const Tensor& weight, bool transposed);
  // Where it is, its shape, and whether it is the transpose that products have.
  using Key = std::tuple<const float*, int64_t, int64_t, bool>;
  struct Entry {
    Tensor weight;  // so that nobody else gets its memory
    uint32_t version = 0;
    int64_t uses = 0;        // with this version
    bool wanted = false;     // was used more than once with the one before
    int idle = 0;            // Uses that have ended since it was used
    int64_t bytes = 0;       // that it counts for
    bool is_packed = false;  // with this version
    PackedMatrix packed;
  };
  const PackedMatrix* find(const Tensor& weight, bool transposed);
  void end_use();

  int64_t most_bytes_, bytes_ = 0;
  std::map<Key, Entry> entries_;
};

// The packed (in, out) transpose of a contiguous `weight` (out, in), or of itself, if it is kept
// here and now; else null. One that is not contiguous is not kept. Valid until the next call.
// Internal to ops/.
const PackedMatrix* kept_weight(const Tensor& weight, bool transposed);

}  // namespace fathom
