#include "fathom/ops/attention_mask.h"

namespace fathom {
namespace {

bool even(const AttentionRows& rows) {
  for (int64_t b = 1; b < rows.batch(); ++b)
    if (rows.count(b) != rows.count(0)) return false;
  return true;
}

bool same_positions(const AttentionRows& rows) {
  const auto of = [&](int64_t b) { return rows.positions.begin() + rows.begin[size_t(b)]; };
  for (int64_t b = 1; b < rows.batch(); ++b)
    if (!std::equal(of(b), of(b) + rows.count(b), of(0))) return false;
  return true;
}

}  // namespace

bool AttentionMask::is_even() const {
  return even(queries) && even(keys);
}

bool AttentionMask::may_be_empty() const {
  const bool sees_itself = queries.positions.data() == keys.positions.data() &&
                           queries.begin.data() == keys.begin.data();
  return !sees_itself || strict || valid.defined() || (hidden.defined() && mask_self) || !is_even();
}

bool AttentionMask::is_shared() const {
  const bool by_row =
      queries.segments.defined() || keys.segments.defined() || valid.defined() || hidden.defined();
  return !by_row && is_even() && same_positions(queries) && same_positions(keys);
}

}  // namespace fathom
