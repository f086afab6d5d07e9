#include "fathom/model/random_field.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "fathom/base/random.h"
#include "fathom/kernels/random_field.h"

namespace fathom {
namespace {

// Calls f(sequence, row) for every row, sequences in parallel.
template <class F>
void each_row(const Rows& rows, const F& f) {
  at::parallel_for(0, rows.batch(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      for (int64_t i = rows.offsets()[size_t(b)]; i < rows.offsets()[size_t(b) + 1]; ++i) f(b, i);
  });
}

Tensor moved(const Tensor& t, const Tensor& like) {
  return t.to(like.device(), like.scalar_type());
}

}  // namespace

uint64_t RandomField::stream(uint64_t site_hash, int64_t sequence) const {
  // A block cipher's output names the stream of this step, sequence and site.
  const PhiloxBlock block = philox(static_cast<uint64_t>(step_),
                                   static_cast<uint64_t>(first_sequence_ + sequence), site_hash);
  return block[0] | uint64_t{block[1]} << 32;
}

Tensor RandomField::dropout(const std::string& site, double p, const Rows& rows, int64_t width,
                            const Tensor& like) const {
  if (p == 0) return {};
  const Tensor out_RC = at::empty({rows.count(), width}, at::TensorOptions(at::kFloat));
  auto* data = out_RC.data_ptr<float>();
  const uint64_t hash = name_hash(site);
  each_row(rows, [&](int64_t b, int64_t row) {
    const auto first = static_cast<uint64_t>(rows.positions()[size_t(row)] * width);
    fill_dropout({data + row * width, size_t(width)}, p, seed_, stream(hash, b), first);
  });
  return moved(out_RC, like);
}

Tensor RandomField::attention_dropout(const std::string& site, double p, const Rows& queries,
                                      const Rows& keys, int64_t n_head, int64_t span,
                                      const Tensor& like) const {
  if (p == 0) return {};
  const int64_t Q = queries.longest(), K = keys.longest();
  const Tensor out_BHQK = at::zeros({queries.batch(), n_head, Q, K}, at::TensorOptions(at::kFloat));
  auto* data = out_BHQK.data_ptr<float>();
  const uint64_t hash = name_hash(site);
  each_row(queries, [&](int64_t b, int64_t row) {
    const int64_t q = row - queries.offsets()[size_t(b)];
    const int64_t first_key = keys.offsets()[size_t(b)], end_key = keys.offsets()[size_t(b) + 1];
    const uint64_t name = stream(hash, b);
    std::vector<float> line(static_cast<size_t>(span));
    for (int64_t h = 0; h < n_head; ++h) {
      // One line of draws per query and head, one place in it per key position.
      const int64_t first = (queries.positions()[size_t(row)] * n_head + h) * span;
      fill_dropout({line.data(), line.size()}, p, seed_, name, static_cast<uint64_t>(first));
      float* out = data + ((b * n_head + h) * Q + q) * K;
      for (int64_t k = first_key; k < end_key; ++k)
        out[k - first_key] = line[size_t(keys.positions()[size_t(k)])];
    }
  });
  return moved(out_BHQK, like);
}

template <class Draw>
Tensor RandomField::numbers(const std::string& site, const Rows& rows, int64_t width,
                            const Tensor& like, const Draw& draw) const {
  const Tensor out_RC = at::empty({rows.count(), width}, at::TensorOptions(at::kDouble));
  auto* data = out_RC.data_ptr<double>();
  const uint64_t hash = name_hash(site);
  each_row(rows, [&](int64_t b, int64_t row) {
    const RandomStream numbers(seed_, stream(hash, b));
    const int64_t first = rows.positions()[size_t(row)] * width;
    for (int64_t c = 0; c < width; ++c)
      data[row * width + c] = draw(numbers, static_cast<uint64_t>(first + c));
  });
  return moved(out_RC, like);
}

Tensor RandomField::normal(const std::string& site, const Rows& rows, int64_t width,
                           const Tensor& like) const {
  return numbers(site, rows, width, like,
                 [](const RandomStream& s, uint64_t i) { return s.normal(i); });
}

Tensor RandomField::uniform(const std::string& site, const Rows& rows, int64_t width,
                            const Tensor& like) const {
  return numbers(site, rows, width, like,
                 [](const RandomStream& s, uint64_t i) { return s.uniform(i); });
}

}  // namespace fathom
