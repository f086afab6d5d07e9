#include "fathom/ops/kept_weights.h"

namespace fathom {
namespace {

thread_local KeptWeights* current = nullptr;

}  // namespace

KeptWeights::KeptWeights(int64_t most_bytes) : most_bytes_(most_bytes) {}
KeptWeights::~KeptWeights() = default;

KeptWeights::Use::Use(KeptWeights& weights) : weights_(weights), before_(current) {
  current = &weights;
}

KeptWeights::Use::~Use() {
  current = before_;
  weights_.drop_unused();
}

void KeptWeights::drop_unused() {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (!it->second.recent) {
      bytes_ -= it->second.bytes;
      it = entries_.erase(it);
    } else {
      it->second.recent = false;
      ++it;
    }
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
  e.recent = true;
  ++e.uses;
  if (e.is_packed) return &e.packed;
  if (e.uses == 1 && !e.wanted) return nullptr;
  const int64_t bytes = weight.numel() * static_cast<int64_t>(sizeof(float));
  if (e.bytes == 0) {
    if (bytes > most_bytes_ - bytes_) return nullptr;
    bytes_ += bytes;
    e.bytes = bytes;
  }
  const Matrix w = row_major(data, weight.size(0), weight.size(1));
  e.packed.pack(transposed ? w.transposed() : w);
  e.is_packed = true;
  return &e.packed;
}

const PackedMatrix* kept_weight(const Tensor& weight, bool transposed) {
  // A value that was computed without a graph has no version.
  return current == nullptr || weight.is_inference() ? nullptr : current->find(weight, transposed);
}

}  // namespace fathom
