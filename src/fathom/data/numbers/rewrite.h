// Expressions written otherwise, with the same value.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "fathom/data/numbers/expression.h"

namespace fathom {

enum class Rewriting {
  kNone,
  kCommute,  // a + b: b + a; of products alike
  kRegroup,  // a + (b + c): (a + b) + c, or b + (a + c); (a + b) + c: a + (b + c); of products
             // alike
  kExpand,   // a * (b + c): a * b + a * c; of differences alike
  kFactor,   // a * b + a * c: a * (b + c); of differences alike
};

struct Rewritten {
  Rewriting by = Rewriting::kNone;
  std::vector<ExpressionToken> tokens;
  // Where the tokens are a program of the depth that was asked for. Of a program's expression it is
  // so where its innermost operands are exchanged, or a with b in a + (b + c).
  std::optional<NumberProgram> program;
};

// Rewrites the expression once: one draw decides among the kinds that have a place in it, a second
// one which of its places. kNone and the tokens as they were: there is no place, or the value would
// not be the same to 1e-9 of it (rounding, where terms cancel each other; what is not finite), or
// the result would be beyond the limits of expression_tokens(). Parentheses that decide nothing are
// dropped. Throws Error(kUsage) where the tokens do not parse.
Rewritten rewritten(const std::vector<ExpressionToken>& tokens, size_t depth, const Draw& draw);

}  // namespace fathom
