#include "fathom/model/walk/random_field.h"

#include <ATen/ops/zeros.h>

#include <algorithm>

#include "fathom/kernels/units.h"
#include "fathom/model/walk/rows.h"
#include "fathom/ops/tensor_pool.h"

namespace fathom {
namespace {

constexpr int64_t kFewRows = 64;  // of which other threads would be woken for nothing

// Calls f(sequence, row) for every row, sequences in parallel.
template <class F>
void each_row(const Rows& rows, const F& f) {
  run_units(rows.batch(), rows.count() < kFewRows, [&](int64_t b) {
    for (int64_t i = rows.offsets()[size_t(b)]; i < rows.offsets()[size_t(b) + 1]; ++i) f(b, i);
  });
}

Tensor moved(const Tensor& t, const Tensor& like) {
  if (!like.is_cpu() || like.scalar_type() != at::kFloat)
    return t.to(like.device(), like.scalar_type());
  Tensor out = new_tensor(t.sizes());
  std::copy_n(t.data_ptr<double>(), t.numel(), out.data_ptr<float>());
  return out;
}

// The largest number of the type below 1.
double below_one(at::ScalarType type) {
  if (type == at::kFloat) return 1 - 0x1p-24;
  if (type == at::kHalf) return 1 - 0x1p-11;
  return type == at::kBFloat16 ? 1 - 0x1p-8 : 1 - 0x1p-53;
}

}  // namespace

uint64_t RandomField::stream(uint64_t site_hash, int64_t sequence) const {
  // A block cipher's output names the stream of this step, sequence and site.
  const int64_t number = first_sequence_ + (alike_ ? 0 : sequence);
  const PhiloxBlock block =
      philox(static_cast<uint64_t>(step_), static_cast<uint64_t>(number), site_hash);
  return block[0] | uint64_t{block[1]} << 32;
}

RandomField RandomField::alike(uint64_t seed) {
  RandomField field(seed, 0, 0);
  field.alike_ = true;
  return field;
}

RandomStream RandomField::of_step(const std::string& site) const {
  RandomField whole = *this;
  whole.first_sequence_ = -1;  // no sequence's number
  whole.alike_ = true;
  return {seed_, whole.stream(name_hash(site), 0)};
}

RandomStream RandomField::of_sequence(const std::string& site, int64_t sequence) const {
  return {seed_, stream(name_hash(site), sequence)};
}

std::shared_ptr<const RowDropout> RandomField::row_draws(const std::string& site, double p,
                                                         const Rows& rows, int64_t width) const {
  if (p == 0) return nullptr;
  const auto draws = std::make_shared<RowDropout>();
  draws->p = p;
  draws->seed = seed_;
  draws->width = width;
  const uint64_t hash = name_hash(site);
  for (int64_t b = 0; b < rows.batch(); ++b)
    draws->streams.resize(size_t(rows.offsets()[size_t(b) + 1]), stream(hash, b));
  for (const int64_t position : rows.positions())
    draws->firsts.push_back(static_cast<uint64_t>(position * width));
  return draws;
}

Tensor RandomField::dropout(const std::string& site, double p, const Rows& rows, int64_t width,
                            const Tensor& like) const {
  const auto draws = row_draws(site, p, rows, width);
  return draws == nullptr ? Tensor() : draws->multipliers(like);
}

WeightDropout RandomField::attention_draws(const std::string& site, double p,
                                           const AttentionRows& queries, const AttentionRows& keys,
                                           int64_t span) const {
  WeightDropout draws;
  draws.p = p;
  draws.seed = seed_;
  draws.span = span;
  const uint64_t hash = name_hash(site);
  for (int64_t b = 0; b < queries.batch(); ++b) draws.streams.push_back(stream(hash, b));
  // Padding has the position 0; nobody sees it.
  const auto padded = [](const AttentionRows& rows) {
    const int64_t longest = rows.longest();
    std::vector<int64_t> positions(static_cast<size_t>(rows.batch() * longest), 0);
    for (size_t b = 0; b < rows.begin.size(); ++b)
      std::copy(rows.positions.begin() + rows.begin[b], rows.positions.begin() + rows.end[b],
                positions.begin() + static_cast<int64_t>(b) * longest);
    return positions;
  };
  draws.query_positions = padded(queries);
  draws.key_positions = padded(keys);
  return draws;
}

template <class Draw>
Tensor RandomField::numbers(const std::string& site, const Rows& rows, int64_t width,
                            const Tensor& like, const Draw& draw) const {
  const Tensor out_RC = new_tensor({rows.count(), width}, at::kDouble);
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
  const double most = below_one(like.scalar_type());
  return numbers(site, rows, width, like, [most](const RandomStream& s, uint64_t i) {
    return std::min(s.uniform(i), most);
  });
}

}  // namespace fathom
