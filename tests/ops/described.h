// Descriptions of masks with the numbers that they point at, and who sees whom, pair by pair.
#pragma once

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "fathom/ops/ops.h"

namespace fathom::testing {

struct RowNumbers {
  std::vector<int64_t> begin, end, positions;

  // Sequences of so many rows, at positions 0, 1, ...
  explicit RowNumbers(const std::vector<int64_t>& counts) {
    for (const int64_t count : counts) {
      begin.push_back(int64_t(positions.size()));
      for (int64_t i = 0; i < count; ++i) positions.push_back(i);
      end.push_back(int64_t(positions.size()));
    }
  }
  AttentionRows rows() const { return {begin, end, positions, {}}; }
  // f(sequence, number within it) of every row.
  template <class T>
  Tensor by_row(const std::function<T(int64_t, int64_t)>& f) const {
    const at::ScalarType type = c10::CppTypeToScalarType<T>::value;
    const Tensor x = at::empty({int64_t(positions.size())}, at::TensorOptions(type));
    for (size_t b = 0; b < begin.size(); ++b)
      for (int64_t i = begin[b]; i < end[b]; ++i) x.data_ptr<T>()[i] = f(int64_t(b), i - begin[b]);
    return x;
  }
};

struct Described {
  std::shared_ptr<RowNumbers> queries, keys;
  AttentionMask mask;

  Described(const std::vector<int64_t>& query_counts, const std::vector<int64_t>& key_counts)
      : queries(std::make_shared<RowNumbers>(query_counts)),
        keys(std::make_shared<RowNumbers>(key_counts)) {
    mask.queries = queries->rows();
    mask.keys = keys->rows();
  }
  // Q queries and K keys of B sequences.
  Described(int64_t B, int64_t Q, int64_t K)
      : Described(std::vector<int64_t>(size_t(B), Q), std::vector<int64_t>(size_t(B), K)) {}

  operator const AttentionMask&() const { return mask; }

  Described& window(int64_t context) { return mask.context = context, *this; }
  Described& any_order() { return mask.causal = false, *this; }
  Described& self_seen() { return mask.mask_self = false, *this; }
  Described& place_queries(const std::function<int64_t(int64_t, int64_t)>& position) {
    for (size_t b = 0; b < queries->begin.size(); ++b)
      for (int64_t i = queries->begin[b]; i < queries->end[b]; ++i)
        queries->positions[size_t(i)] = position(int64_t(b), i - queries->begin[b]);
    return *this;
  }
  Described& hide(const std::function<bool(int64_t, int64_t)>& hidden) {
    mask.hidden = keys->by_row<bool>(hidden);
    return *this;
  }
  Described& invalidate(const std::function<bool(int64_t, int64_t)>& invalid) {
    mask.valid = keys->by_row<bool>([&](int64_t b, int64_t k) { return !invalid(b, k); });
    return *this;
  }
  // Queries that see no key: they are of a segment that has none.
  Described& blind(const std::function<bool(int64_t, int64_t)>& blind) {
    mask.queries.segments =
        queries->by_row<int64_t>([&](int64_t b, int64_t q) { return blind(b, q) ? -1 : 0; });
    return *this;
  }
  Described& segments(const std::function<int64_t(int64_t, int64_t)>& of_queries,
                      const std::function<int64_t(int64_t, int64_t)>& of_keys) {
    mask.queries.segments = queries->by_row<int64_t>(of_queries);
    mask.keys.segments = keys->by_row<int64_t>(of_keys);
    return *this;
  }
};

// As the description is written: query q of sequence b, and its key k.
inline bool sees(const AttentionMask& m, int64_t b, int64_t q, int64_t k) {
  const size_t query = size_t(m.queries.begin[size_t(b)] + q),
               key = size_t(m.keys.begin[size_t(b)] + k);
  if (q >= m.queries.count(b) || k >= m.keys.count(b)) return false;
  const auto segment = [](const AttentionRows& rows, size_t row) {
    return rows.segments.defined() ? rows.segments.data_ptr<int64_t>()[row] : 0;
  };
  const int64_t distance = m.queries.positions[query] - m.keys.positions[key];
  if (segment(m.queries, query) != segment(m.keys, key)) return false;
  if (m.valid.defined() && !m.valid.data_ptr<bool>()[key]) return false;
  if (m.causal && distance < 0) return false;
  if (m.strict && distance == 0) return false;
  if (m.context && std::abs(distance) > *m.context) return false;
  if (!m.hidden.defined() || !m.hidden.data_ptr<bool>()[key]) return true;
  return !m.mask_self && distance == 0;
}

// (B, Q, K), true: not seen.
inline Tensor blocked_of(const AttentionMask& m) {
  const int64_t B = m.queries.batch(), Q = m.queries.longest(), K = m.keys.longest();
  const Tensor out = at::empty({B, Q, K}, at::TensorOptions(at::kBool));
  auto* to = out.data_ptr<bool>();
  for (int64_t b = 0; b < B; ++b)
    for (int64_t q = 0; q < Q; ++q)
      for (int64_t k = 0; k < K; ++k) *to++ = !sees(m, b, q, k);
  return out;
}

}  // namespace fathom::testing
