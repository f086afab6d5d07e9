#include "fathom/ops/kept_weights.h"

namespace fathom {

KeptWeights::KeptWeights(int64_t most_bytes) : most_bytes_(most_bytes) {}
KeptWeights::~KeptWeights() = default;

void KeptWeights::end_use() {
  for (auto it = entries_.begin(); it != entries_.end();) {
    Entry& e = it->second;
    // What is not packed is only remembered, and that keeps a tensor of a moment alive.
    if (e.idle++ < (e.bytes > 0 ? kMostIdle : 1)) {
      ++it;
      continue;
    }
    bytes_ -= e.bytes;
    it = entries_.erase(it);
  }
}

const PackedMatrix* KeptWeights::find(const Tensor& weight, bool transposed) {
  const auto* data = weight.data_ptr<float>();
  Entry& e = entries_[{data, weight.size(0), weight.size(1), transposed}];
  const auto version = static_cast<uint32_t>(weight._version());
  if (!e.weight.defined() || e.version != version) {
    e.wanted = e.uses > 1;
    e.weight = weight.detach();
    e.version = version;
    e.uses = 0;
    e.is_packed = false;
  }
  e.idle = 0;
  ++e.uses;
  if (e.is_packed) return &e.packed;
  if (e.uses == 1 && !e.wanted) return nullptr;
  const Matrix w = row_major(data, weight.size(0), weight.size(1));
  const Matrix factor = transposed ? w.transposed() : w;
  if (e.bytes == 0) {
    const auto bytes = static_cast<int64_t>(PackedMatrix::bytes_for(factor));
    if (bytes > most_bytes_ - bytes_) return nullptr;
    bytes_ += bytes;
    e.bytes = bytes;
  }
  e.packed.pack(factor);
  e.is_packed = true;
  return &e.packed;
}

const PackedMatrix* kept_weight(const Tensor& weight, bool transposed) {
  // A value that was computed without a graph has no version.
  KeptWeights* current = KeptWeights::Use::current();
  return current == nullptr || weight.is_inference() || !weight.is_contiguous()
             ? nullptr
             : current->find(weight, transposed);
}

}  // namespace fathom
