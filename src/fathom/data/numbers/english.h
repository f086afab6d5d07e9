// Expressions in English words, as the notebook renders them (spec: the streaming data of its
// predictor), and back.
//
//   7.05 * (12 - 3.4)     seven point zero five times ( twelve minus three point four )
//
// + plus, added to; - minus, subtract, less; * times, multiplied by; / divided by, over, divide by.
// Numbers: "negative" before one below zero, the cardinal words of the integer part (twenty-one;
// one hundred and five; one thousand, two hundred and thirty-four), then "point" and a word for each
// digit behind it. Parentheses stay signs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/numbers/expression.h"

namespace fathom {

std::string cardinal(uint64_t number);              // below 10^15; 105: "one hundred and five"
std::string number_words(const Decimal& decimal);   // -3.07: "negative three point zero seven"

// How a text is worded, token by token: each number in [0, 1) that is asked for decides one thing.
using Draw = std::function<double()>;

enum class Wording { kSymbols, kMixed, kWords };  // of a whole text: no, some or all tokens in words
struct EnglishText {
  std::string text;
  Wording wording = Wording::kSymbols;
  size_t last_operand_end = 0;  // bytes of the text up to and with the last number
};
// Each number and operator in words with probability `rate`.
EnglishText in_english(const std::vector<ExpressionToken>& tokens, double rate, const Draw& draw);

// What in_english() was given, of any text that it gives (and of any mixture of signs and words that
// has one meaning). Throws Error(kUsage) that says which word was not understood, and where.
std::vector<ExpressionToken> from_english(std::string_view text);

}  // namespace fathom
