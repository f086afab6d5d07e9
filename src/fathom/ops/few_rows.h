// What a walk does with rows besides the operations of ops.h: masks of them, some of them, sums and
// distances. Of a few rows on the processor, without a graph, libtorch takes longer to find out
// what to do, and to make a tensor for it, than to do it; these take new_tensor()'s and a loop.
// Everything else is libtorch's own.
//
// R rows, K of them; masks are bool. All have the bits that they would have beside other rows.
#pragma once

#include "fathom/ops/tensor.h"

namespace fathom {

// As many are few.
inline constexpr int64_t kFewNumbers = 1 << 13;

// a or b, a and b; one of them, or both, may be undefined and is then left out.
Tensor either(const Tensor& a_R, const Tensor& b_R);
Tensor both(const Tensor& a_R, const Tensor& b_R);
Tensor none_of(const Tensor& a_R);  // not a; undefined stays so
bool any_of(const Tensor& a_R);     // false: undefined

// The places that are true, int64.
Tensor places_of(const Tensor& a_R);
// Those rows of x (R, ...), and x with others in their place.
Tensor take_rows(const Tensor& x, const Tensor& places_K);
Tensor put_rows(const Tensor& x, const Tensor& places_K, const Tensor& rows_K);
// The same in x itself, which nobody else has, and without a graph.
void put_rows_into(const Tensor& x, const Tensor& places_K, const Tensor& rows_K);
// Of the rows of x and, behind them, of y, those at the places.
Tensor take_rows_of_both(const Tensor& x, const Tensor& y, const Tensor& places_K);
// The rows of `a` where `choose_R`, else of `b`; (R, C).
Tensor where_rows(const Tensor& choose_R, const Tensor& a, const Tensor& b);

// (R, C) and (R, C') -> (R, C + C').
Tensor beside(const Tensor& a_RC, const Tensor& b_RC);
// a - b of one shape.
Tensor minus(const Tensor& a, const Tensor& b);
// a * b; b is of a's shape, one row (1, C), or one number (1, 1).
Tensor times(const Tensor& a_RC, const Tensor& b);
Tensor times(const Tensor& a_RC, double factor);
// Of x's shape and type.
Tensor filled_like(const Tensor& x, double value);

// Euclidean length of each row, of `a` or of a - b: (R) of float64, without a graph.
Tensor lengths(const Tensor& a_RC);
Tensor distances(const Tensor& a_RC, const Tensor& b_RC);
// Of (R) of float64: a b, a / b, |a - b|, a where b is a number and no number elsewhere, a < limit.
Tensor products(const Tensor& a_R, const Tensor& b_R);
Tensor quotients(const Tensor& a_R, const Tensor& b_R);
Tensor gaps(const Tensor& a_R, const Tensor& b_R);
Tensor where_known(const Tensor& a_R, const Tensor& b_R);
Tensor below(const Tensor& a_R, double limit);
// Of float32 too: a >= limit, a <= limit, in a's type.
Tensor at_least(const Tensor& a_R, double limit);
Tensor at_most(const Tensor& a_R, double limit);
// Numbers that are no numbers become `value`.
Tensor known_or(const Tensor& a_R, double value);

// a as float64.
Tensor in_double(const Tensor& a_R);
// (rows) of float64, where x is.
Tensor numbers_like(const Tensor& x, int64_t rows, double value);
// So many rows of zeros, of the shape and type that x's have.
Tensor zero_rows(const Tensor& x, int64_t rows);
// exp(x) and 1 / (1 + exp(-x)) of any number of rows: where there are kernels one's bits do not
// depend on how many there are.
Tensor exps(const Tensor& x_R);
Tensor sigmoids(const Tensor& x_R);

}  // namespace fathom
