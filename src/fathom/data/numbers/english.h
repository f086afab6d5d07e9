// Expressions in English words, as the notebook renders them (spec: the streaming data of its
// predictor), and back.
//
//   7.05 * (12 - 3.4)     seven point zero five times ( twelve minus three point four )
//
// + plus, added to; - minus, subtract, less; * times, multiplied by; / divided by, over, divide by.
// Numbers: "negative" before one below zero, the cardinal words of the integer part (twenty-one;
// one hundred and five; one thousand, two hundred and thirty-four), then "point" and a word for
// each digit behind it. Parentheses stay signs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/numbers/expression.h"

namespace fathom {

// 105: "one hundred and five". Throws Error from 10^18 on.
std::string cardinal(uint64_t number);
std::string number_words(const Decimal& decimal);  // -3.07: "negative three point zero seven"

enum class Wording {
  kSymbols,
  kMixed,
  kWords
};  // of a whole text: no, some or all tokens in words
struct EnglishText {
  std::string text;
  Wording wording = Wording::kSymbols;
  size_t last_operand_end = 0;  // bytes of the text up to and with the last number
};
// Each number and operator in words with probability `rate`: a number that is drawn decides that of
// a token, a second one which of an operator's words it gets. Without any word the text is
// to_text(tokens); else all tokens are joined by single spaces, parentheses too.
EnglishText in_english(const std::vector<ExpressionToken>& tokens, double rate, const Draw& draw);

// What in_english() was given, of any text that it gives (and of any mixture of signs and words
// that has one meaning: "Twenty one - negative 3"; "and" and commas within numbers may lack).
// Throws Error(kUsage) that says which word was not understood, and at which character. The limits
// are those of expression_tokens(), but that words are longer.
inline constexpr size_t kMostEnglishBytes = 1 << 17;
std::vector<ExpressionToken> from_english(std::string_view text);

}  // namespace fathom
