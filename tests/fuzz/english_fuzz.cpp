// Arithmetic in words: what is read reads back as the same tokens from signs, and from any wording
// of them. What is read in signs alone is read so here, too.
#include "fathom/base/random.h"
#include "fathom/data/numbers/english.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const double rate = static_cast<double>(in.below(5)) / 4;
  const RandomStream stream(in.number(), "wording");
  const std::string text = grown(in);
  std::vector<ExpressionToken> in_signs, tokens;
  const bool is_in_signs = accepts(text.size(), [&] { in_signs = expression_tokens(text); });
  const bool is_english = accepts(text.size(), [&] { tokens = from_english(text); });
  require(!is_in_signs || (is_english && tokens == in_signs), "signs are read alike");
  if (!is_english) return;
  require(from_english(to_text(tokens)) == tokens, "signs read back");
  uint64_t next = 0;
  const EnglishText english = in_english(tokens, rate, [&] { return stream.uniform(next++); });
  require(from_english(english.text) == tokens, "words read back");
  require(english.last_operand_end <= english.text.size(), "the last operand is in the text");
}

}  // namespace fathom::fuzzing
