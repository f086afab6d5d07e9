#include "fathom/ops/few_rows.h"

#include <ATen/core/DimVector.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/util/accumulate.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "fathom/kernels/units.h"
#include "fathom/ops/ops.h"
#include "fathom/ops/tensor_pool.h"

namespace fathom {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

bool on_hand(const Tensor& x) {
  return x.is_cpu() && x.is_contiguous();
}
// Bytes may be copied: nobody wants a gradient.
bool is_few(const Tensor& x) {
  return x.numel() <= kFewNumbers && on_hand(x) && !at::GradMode::is_enabled();
}
bool are_few(const Tensor& a, const Tensor& b) {
  return is_few(a) && is_few(b) && a.scalar_type() == b.scalar_type();
}
bool are_floats(const Tensor& a, const Tensor& b) {
  return has_kernels(a) && has_kernels(b) && are_few(a, b);
}
bool is_mask(const Tensor& a) {
  return a.scalar_type() == at::kBool && is_few(a);
}
bool are_masks(const Tensor& a, const Tensor& b) {
  return is_mask(a) && is_mask(b) && a.sizes() == b.sizes();
}
bool is_place(const Tensor& places) {
  return places.scalar_type() == at::kLong && on_hand(places);
}

// Else libtorch says what is wrong.
bool are_within(const Tensor& places, int64_t rows) {
  const auto* p = places.data_ptr<int64_t>();
  return std::all_of(p, p + places.numel(), [&](int64_t i) { return 0 <= i && i < rows; });
}

// f of the numbers of two tensors of one shape and type, T.
template <class T, class F>
Tensor paired(const Tensor& a, const Tensor& b, const F& f) {
  Tensor out = new_tensor(a.sizes(), a.scalar_type());
  std::transform(a.data_ptr<T>(), a.data_ptr<T>() + a.numel(), b.data_ptr<T>(), out.data_ptr<T>(),
                 f);
  return out;
}

template <class F>
Tensor combined(const Tensor& a, const Tensor& b, const F& f) {
  Tensor out = new_tensor(a.sizes());
  const auto *x = a.data_ptr<float>(), *y = b.data_ptr<float>();
  auto* to = out.data_ptr<float>();
  const int64_t n = a.numel(), m = b.numel();
  if (m == n)
    for (int64_t i = 0; i < n; ++i) to[i] = f(x[i], y[i]);
  else
    for (int64_t i = 0; i < n; i += m)
      for (int64_t j = 0; j < m; ++j) to[i + j] = f(x[i + j], y[j]);
  return out;
}

size_t row_bytes(const Tensor& x) {
  return x.size(0) == 0 ? 0 : x.nbytes() / static_cast<size_t>(x.size(0));
}
char* bytes(const Tensor& x) {
  return static_cast<char*>(x.data_ptr());
}

// sqrt of the sum of f(row, c)^2 over the columns, of each row.
template <class F>
Tensor row_lengths(const Tensor& like, const F& f) {
  const int64_t R = like.size(0), C = like.size(1);
  Tensor out_R = new_tensor({R}, at::kDouble);
  auto* out = out_R.data_ptr<double>();
  run_units(R, /*small=*/R * C < kFewNumbers, [&](int64_t row) {
    double sum = 0;
    for (int64_t c = 0; c < C; ++c) {
      const double d = f(row * C + c);
      sum += d * d;
    }
    out[row] = std::sqrt(sum);
  });
  return out_R;
}

// holds(number, limit) of each, the limit in the numbers' type.
template <class T, class F>
Tensor compared(const Tensor& a, double limit, const F& holds) {
  Tensor out = new_tensor(a.sizes(), at::kBool);
  const auto by = static_cast<T>(limit);
  std::transform(a.data_ptr<T>(), a.data_ptr<T>() + a.numel(), out.data_ptr<bool>(),
                 [&](T x) { return holds(x, by); });
  return out;
}

// f of each number, of however many.
template <class F>
Tensor each_number(const Tensor& x, const F& f) {
  Tensor out = new_tensor(x.sizes());
  const auto* from = x.data_ptr<float>();
  auto* to = out.data_ptr<float>();
  run_units((x.numel() + kFewNumbers - 1) / kFewNumbers, /*small=*/x.numel() <= kFewNumbers,
            [&](int64_t unit) {
              const int64_t end = std::min((unit + 1) * kFewNumbers, x.numel());
              for (int64_t i = unit * kFewNumbers; i < end; ++i) to[i] = f(from[i]);
            });
  return out;
}
bool has_numbers(const Tensor& x) {
  return has_kernels(x) && x.is_contiguous() && !(at::GradMode::is_enabled() && x.requires_grad());
}

// Rows that may be copied to those places of x, byte by byte.
bool are_rows_of(const Tensor& x, const Tensor& places, const Tensor& rows) {
  return are_few(x, rows) && is_place(places) && are_within(places, x.size(0)) &&
         row_bytes(x) == row_bytes(rows) && rows.size(0) == places.numel();
}

bool are_scores(const Tensor& a, const Tensor& b) {
  return a.scalar_type() == at::kDouble && a.sizes() == b.sizes() && are_few(a, b);
}

bool has_lengths(const Tensor& a) {
  return has_kernels(a) && a.is_contiguous() && !at::GradMode::is_enabled();
}

}  // namespace

Tensor either(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() ? a : b;
  if (!are_masks(a, b)) return a.logical_or(b);
  return paired<bool>(a, b, std::logical_or<>());
}

Tensor both(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() ? a : b;
  if (!are_masks(a, b)) return a.logical_and(b);
  return paired<bool>(a, b, std::logical_and<>());
}

Tensor none_of(const Tensor& a) {
  if (!a.defined() || !is_mask(a)) return a.defined() ? a.logical_not() : a;
  return paired<bool>(a, a, [](bool x, bool) { return !x; });
}

bool any_of(const Tensor& a) {
  if (!a.defined()) return false;
  if (!is_mask(a)) return a.any().item<bool>();
  return std::count(a.data_ptr<bool>(), a.data_ptr<bool>() + a.numel(), true) > 0;
}

Tensor places_of(const Tensor& a) {
  if (!is_mask(a)) return a.nonzero().squeeze(1);
  const auto* is_true = a.data_ptr<bool>();
  Tensor places = new_tensor({std::count(is_true, is_true + a.numel(), true)}, at::kLong);
  auto* to = places.data_ptr<int64_t>();
  for (int64_t i = 0; i < a.numel(); ++i)
    if (is_true[i]) *to++ = i;
  return places;
}

Tensor take_rows(const Tensor& x, const Tensor& places) {
  if (!is_few(x) || !is_place(places) || !are_within(places, x.size(0)))
    return x.index_select(0, places);
  at::DimVector shape(x.sizes());
  shape[0] = places.numel();
  Tensor out = new_tensor(shape, x.scalar_type());
  const size_t size = row_bytes(x);
  for (int64_t i = 0; i < places.numel(); ++i)
    std::memcpy(bytes(out) + size_t(i) * size,
                bytes(x) + size_t(places.data_ptr<int64_t>()[i]) * size, size);
  return out;
}

Tensor take_rows_of_both(const Tensor& x, const Tensor& y, const Tensor& places) {
  if (!are_few(x, y) || x.sizes().slice(1) != y.sizes().slice(1) || !is_place(places) ||
      !are_within(places, x.size(0) + y.size(0)))
    return at::cat({x, y}).index_select(0, places);
  at::DimVector shape(x.sizes());
  shape[0] = places.numel();
  Tensor out = new_tensor(shape, x.scalar_type());
  const size_t size = std::max(row_bytes(x), row_bytes(y));
  for (int64_t i = 0; i < places.numel(); ++i) {
    const int64_t from = places.data_ptr<int64_t>()[i];
    const bool of_x = from < x.size(0);
    std::memcpy(bytes(out) + size_t(i) * size,
                bytes(of_x ? x : y) + size_t(of_x ? from : from - x.size(0)) * size, size);
  }
  return out;
}

void put_rows_into(const Tensor& x, const Tensor& places, const Tensor& rows) {
  if (!are_rows_of(x, places, rows)) {
    x.index_copy_(0, places, rows);
    return;
  }
  const size_t size = row_bytes(x);
  for (int64_t i = 0; i < places.numel(); ++i)
    std::memcpy(bytes(x) + size_t(places.data_ptr<int64_t>()[i]) * size,
                bytes(rows) + size_t(i) * size, size);
}

Tensor put_rows(const Tensor& x, const Tensor& places, const Tensor& rows) {
  if (!are_rows_of(x, places, rows)) return x.index_copy(0, places, rows);
  Tensor out = new_tensor(x.sizes(), x.scalar_type());
  std::memcpy(bytes(out), bytes(x), x.nbytes());
  put_rows_into(out, places, rows);
  return out;
}

Tensor where_rows(const Tensor& choose_R, const Tensor& a, const Tensor& b) {
  if (!are_few(a, b) || a.sizes() != b.sizes() || !is_mask(choose_R))
    return at::where(choose_R.unsqueeze(1), a, b);
  Tensor out = new_tensor(a.sizes(), a.scalar_type());
  const size_t size = row_bytes(a);
  for (int64_t i = 0; i < a.size(0); ++i) {
    const Tensor& from = choose_R.data_ptr<bool>()[i] ? a : b;
    std::memcpy(bytes(out) + size_t(i) * size, bytes(from) + size_t(i) * size, size);
  }
  return out;
}

Tensor beside(const Tensor& a, const Tensor& b) {
  if (!are_floats(a, b) || a.size(0) != b.size(0)) return at::cat({a, b}, -1);
  const int64_t R = a.size(0), C = a.size(1), D = b.size(1);
  Tensor out = new_tensor({R, C + D});
  auto* to = out.data_ptr<float>();
  for (int64_t i = 0; i < R; ++i, to += C + D) {
    std::copy_n(a.data_ptr<float>() + i * C, C, to);
    std::copy_n(b.data_ptr<float>() + i * D, D, to + C);
  }
  return out;
}

Tensor times(const Tensor& a, const Tensor& b) {
  const bool fits =
      a.dim() == 2 && b.dim() == 2 &&
      (a.sizes() == b.sizes() || (b.size(0) == 1 && (b.size(1) == a.size(1) || b.size(1) == 1)));
  if (!fits || !are_floats(a, b)) return a * b;
  return combined(a, b, std::multiplies<>());
}

Tensor minus(const Tensor& a, const Tensor& b) {
  if (a.sizes() != b.sizes() || !are_floats(a, b)) return a - b;
  return combined(a, b, std::minus<>());
}

Tensor times(const Tensor& a, double factor) {
  if (!are_floats(a, a)) return a * factor;
  const auto by = static_cast<float>(factor);
  return combined(a, a, [by](float x, float) { return x * by; });
}

Tensor filled_like(const Tensor& x, double value) {
  if (!is_few(x) || (x.scalar_type() != at::kFloat && x.scalar_type() != at::kDouble))
    return at::full_like(x, value);
  Tensor out = new_tensor(x.sizes(), x.scalar_type());
  if (x.scalar_type() == at::kFloat)
    std::fill_n(out.data_ptr<float>(), x.numel(), static_cast<float>(value));
  else
    std::fill_n(out.data_ptr<double>(), x.numel(), value);
  return out;
}

Tensor lengths(const Tensor& a) {
  if (!has_lengths(a)) return a.norm(2, {1}).to(at::kDouble);
  const auto* x = a.data_ptr<float>();
  return row_lengths(a, [x](int64_t i) { return double{x[i]}; });
}

Tensor distances(const Tensor& a, const Tensor& b) {
  if (!has_lengths(a) || !has_lengths(b) || a.sizes() != b.sizes())
    return (a - b).norm(2, {1}).to(at::kDouble);
  const auto *x = a.data_ptr<float>(), *y = b.data_ptr<float>();
  return row_lengths(a, [x, y](int64_t i) { return double{x[i]} - double{y[i]}; });
}

Tensor products(const Tensor& a, const Tensor& b) {
  if (!are_scores(a, b)) return a * b;
  return paired<double>(a, b, std::multiplies<>());
}

Tensor quotients(const Tensor& a, const Tensor& b) {
  if (!are_scores(a, b)) return a / b;
  return paired<double>(a, b, std::divides<>());
}

Tensor gaps(const Tensor& a, const Tensor& b) {
  if (!are_scores(a, b)) return (a - b).abs();
  return paired<double>(a, b, [](double x, double y) { return std::abs(x - y); });
}

Tensor where_known(const Tensor& a, const Tensor& b) {
  if (!are_scores(a, b)) return a.masked_fill(b.isnan(), kNone);
  return paired<double>(a, b, [](double x, double y) { return std::isnan(y) ? kNone : x; });
}

Tensor below(const Tensor& a, double limit) {
  if (a.scalar_type() != at::kDouble || !is_few(a)) return a.lt(limit);
  return compared<double>(a, limit, std::less<>());
}

Tensor at_least(const Tensor& a, double limit) {
  if (is_few(a) && a.scalar_type() == at::kDouble)
    return compared<double>(a, limit, std::greater_equal<>());
  if (is_few(a) && a.scalar_type() == at::kFloat)
    return compared<float>(a, limit, std::greater_equal<>());
  return a.ge(limit);
}

Tensor at_most(const Tensor& a, double limit) {
  if (is_few(a) && a.scalar_type() == at::kDouble)
    return compared<double>(a, limit, std::less_equal<>());
  if (is_few(a) && a.scalar_type() == at::kFloat)
    return compared<float>(a, limit, std::less_equal<>());
  return a.le(limit);
}

Tensor known_or(const Tensor& a, double value) {
  if (!is_few(a) || a.scalar_type() != at::kDouble) return a.masked_fill(a.isnan(), value);
  return paired<double>(a, a, [value](double x, double) { return std::isnan(x) ? value : x; });
}

Tensor in_double(const Tensor& a) {
  const at::ScalarType type = a.scalar_type();
  if (!is_few(a) || (type != at::kFloat && type != at::kLong)) return a.to(at::kDouble);
  Tensor out = new_tensor(a.sizes(), at::kDouble);
  const auto copy = [&](const auto* from) {
    std::transform(from, from + a.numel(), out.data_ptr<double>(),
                   [](auto x) { return static_cast<double>(x); });
  };
  if (type == at::kFloat)
    copy(a.data_ptr<float>());
  else
    copy(a.data_ptr<int64_t>());
  return out;
}

Tensor numbers_like(const Tensor& x, int64_t rows, double value) {
  if (!x.is_cpu() || rows > kFewNumbers)
    return at::full({rows}, value, x.options().dtype(at::kDouble).requires_grad(false));
  Tensor out = new_tensor({rows}, at::kDouble);
  std::fill_n(out.data_ptr<double>(), rows, value);
  return out;
}

Tensor zero_rows(const Tensor& x, int64_t rows) {
  at::DimVector shape(x.sizes());
  shape[0] = rows;
  const int64_t numbers = c10::multiply_integers(shape);
  if (!x.is_cpu() || numbers > kFewNumbers)
    return at::zeros(shape, x.options().requires_grad(false));
  Tensor out = new_tensor(shape, x.scalar_type());
  std::memset(bytes(out), 0, out.nbytes());
  return out;
}

Tensor exps(const Tensor& x) {
  if (!has_numbers(x)) return x.exp();
  return each_number(x, [](float v) { return std::exp(v); });
}

Tensor sigmoids(const Tensor& x) {
  if (!has_numbers(x)) return x.sigmoid();
  return each_number(x, [](float v) { return 1 / (1 + std::exp(-v)); });
}

}  // namespace fathom
