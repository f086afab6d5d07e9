// Arithmetic: what is read is printed and reads back as the same tokens, as a program too, and
// rewritten.
#include "fathom/base/random.h"
#include "fathom/data/numbers/rewrite.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const RandomStream stream(in.number(), "rewriting");
  const std::string text = grown(in);
  std::vector<ExpressionToken> tokens;
  if (!accepts(text.size(), [&] { tokens = expression_tokens(text); })) return;
  const std::string printed = to_text(tokens);
  // It may have more spaces than it was given.
  if (printed.size() <= kMostExpressionBytes)
    require(expression_tokens(printed) == tokens, "an expression reads back as it was");
  value_of_expression(tokens);
  constexpr size_t kDepth = 80;
  NumberProgram program;
  if (accepts(text.size(), [&] { program = program_of(tokens, kDepth); }))
    require(program_of(expression_of(program), kDepth) == program, "a program reads back");
  uint64_t next = 0;
  const Rewritten result = rewritten(tokens, kDepth, [&] { return stream.uniform(next++); });
  if (result.by != Rewriting::kNone)
    require(expression_tokens(to_text(result.tokens)) == result.tokens, "what is rewritten reads");
}

}  // namespace fathom::fuzzing
