#include "fathom/data/token_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "fathom/base/error.h"

namespace fathom {
namespace {

enum class Padding { kZero, kRepeat, kCount };  // after a row's last token
enum class Missing { kZero, kOne, kCount };     // of a batch without the column

struct Kind {
  Padding padding = Padding::kZero;
  Missing missing = Missing::kZero;
};

Kind kind_of(const std::string& name) {
  if (name == "valid" || name == "weight") return {Padding::kZero, Missing::kOne};
  if (name == "segment") return {Padding::kRepeat, Missing::kZero};
  if (name == "position") return {Padding::kCount, Missing::kCount};
  return {};
}

// `values` of a row's padding, given its last value.
template <class Number>
void fill_padding(Number* values, int64_t count, Padding padding, Number last) {
  for (int64_t i = 0; i < count; ++i) {
    const auto further = static_cast<Number>(i + 1);
    values[i] = padding == Padding::kZero     ? Number(0)
                : padding == Padding::kRepeat ? last
                                              : last + further;
  }
}

template <class Number>
std::vector<Number> padded(const std::vector<Number>& values, int64_t B, int64_t from, int64_t to,
                           Padding padding) {
  std::vector<Number> out(static_cast<size_t>(B * to));
  for (int64_t b = 0; b < B; ++b) {
    const Number* row = values.data() + b * from;
    std::copy(row, row + from, out.data() + b * to);
    fill_padding(out.data() + b * to + from, to - from, padding,
                 from > 0 ? row[from - 1] : Number(-1));
  }
  return out;
}

// The column of a batch that lacks it.
template <class Number>
std::vector<Number> missing(Missing kind, int64_t rows, int64_t width) {
  std::vector<Number> out(static_cast<size_t>(rows * width), Number(kind == Missing::kOne ? 1 : 0));
  if (kind == Missing::kCount)
    for (int64_t b = 0; b < rows; ++b)
      std::iota(out.begin() + b * width, out.begin() + (b + 1) * width, Number(0));
  return out;
}

// A column like `other`, as a batch of B rows of T tokens has it that lacks it.
Column absent_column(const Column& other, int64_t B, int64_t T) {
  Column column = other;
  const int64_t width = other.per_sequence > 0 ? other.per_sequence : T;
  const Missing kind = kind_of(other.name).missing;
  if (std::holds_alternative<WholeNumbers>(other.values))
    column.values = missing<int64_t>(kind, B, width);
  else
    column.values = missing<double>(kind, B, width);
  return column;
}

void add_values(Column& to, const Column& more) {
  if (to.per_sequence != more.per_sequence || to.values.index() != more.values.index())
    fail(fmt::format("two batches have columns {} of different shapes", to.name));
  const auto add = [](auto& a, const auto& b) { a.insert(a.end(), b.begin(), b.end()); };
  if (auto* whole = std::get_if<WholeNumbers>(&to.values))
    add(*whole, std::get<WholeNumbers>(more.values));
  else
    add(std::get<RealNumbers>(to.values), std::get<RealNumbers>(more.values));
}

}  // namespace

const Column* TokenBatch::find(const std::string& name) const {
  for (const Column& column : columns)
    if (column.name == name) return &column;
  return nullptr;
}

WholeNumbers& TokenBatch::per_token(const std::string& name) {
  for (Column& column : columns)
    if (column.name == name) return std::get<WholeNumbers>(column.values);
  columns.push_back(absent_column({name, WholeNumbers(), 0}, B, T));
  return std::get<WholeNumbers>(columns.back().values);
}

TokenBatch empty_batch(int64_t B, int64_t T) {
  const auto size = static_cast<size_t>(B * T);
  return {B, T, WholeNumbers(size), WholeNumbers(size, -1), {}};
}

void pad(TokenBatch& batch, int64_t T) {
  if (T <= batch.T) return;
  batch.per_token("valid");
  const int64_t B = batch.B, from = batch.T;
  batch.tokens = padded(batch.tokens, B, from, T, Padding::kZero);
  WholeNumbers targets(static_cast<size_t>(B * T), -1);
  for (int64_t b = 0; b < B; ++b)
    std::copy_n(batch.targets.begin() + b * from, from, targets.begin() + b * T);
  batch.targets = std::move(targets);
  for (Column& column : batch.columns) {
    if (column.per_sequence > 0) continue;
    const Padding padding = kind_of(column.name).padding;
    if (auto* whole = std::get_if<WholeNumbers>(&column.values))
      *whole = padded(*whole, B, from, T, padding);
    else
      column.values = padded(std::get<RealNumbers>(column.values), B, from, T, padding);
  }
  batch.T = T;
}

void append(TokenBatch& all, const TokenBatch& more) {
  if (all.B == 0) return void(all = more);
  if (more.T > all.T) pad(all, more.T);
  if (more.T < all.T) {
    TokenBatch longer = more;
    pad(longer, all.T);
    return append(all, longer);
  }
  for (const Column& column : more.columns)
    if (all.find(column.name) == nullptr)
      all.columns.push_back(absent_column(column, all.B, all.T));
  for (Column& column : all.columns) {
    const Column* other = more.find(column.name);
    add_values(column, other != nullptr ? *other : absent_column(column, more.B, more.T));
  }
  all.B += more.B;
  all.tokens.insert(all.tokens.end(), more.tokens.begin(), more.tokens.end());
  all.targets.insert(all.targets.end(), more.targets.begin(), more.targets.end());
}

}  // namespace fathom
