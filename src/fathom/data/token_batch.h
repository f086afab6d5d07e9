// Rows of tokens on their way to a model: columns by name, each with a value per token or a few per
// sequence. Rows of several lengths become one batch by padding; what a column holds where there is
// no token, and where a batch lacks the column, is the column's own affair.
//
// B rows, T tokens a row.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace fathom {

using WholeNumbers = std::vector<int64_t>;
using RealNumbers = std::vector<double>;

struct Column {
  std::string name;
  std::variant<WholeNumbers, RealNumbers> values;
  int64_t per_sequence = 0;  // values of a sequence, (B, per_sequence); 0: one per token, (B, T)
};

inline bool operator==(const Column& a, const Column& b) {
  return a.name == b.name && a.values == b.values && a.per_sequence == b.per_sequence;
}

struct TokenBatch {
  int64_t B = 0, T = 0;
  WholeNumbers tokens;          // (B, T), row-major; 0 where padded
  WholeNumbers targets;         // (B, T): the token that follows; -1 = ignored, also where padded
  std::vector<Column> columns;  // all others; what is not there is as its kind says

  // Null if there is none.
  const Column* find(const std::string& name) const;
  // A column of whole numbers, a value per token, made as if it had been there if it is not.
  WholeNumbers& per_token(const std::string& name);
};

// What is known of columns by their names; a name that is not here is a label of its experiment: 0
// where padded or missing.
//
//            padded             missing
//   valid    0                  1             may be seen, and may halt, target or not
//   weight   0                  1             of the target in the loss
//   segment  as the last one's  0             only positions of one segment see each other
//   position one more each      0 .. T - 1    increasing within a sequence
//
// A batch of B rows of T tokens that has none of these columns.
TokenBatch empty_batch(int64_t B, int64_t T);

// Longer rows: each gets `T` - batch.T tokens of padding, which are not valid. T is at least
// batch.T.
void pad(TokenBatch& batch, int64_t T);

// The rows of `more` behind those of `all`, which may have none; the shorter ones are padded. A
// column that one of the two lacks is there as if it had had it. Throws Error where a column is of
// different shapes in the two.
void append(TokenBatch& all, const TokenBatch& more);

}  // namespace fathom
