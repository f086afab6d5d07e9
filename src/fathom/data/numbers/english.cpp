#include "fathom/data/numbers/english.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/numbers/expression_reader.h"

namespace fathom {
namespace {

constexpr std::array<const char*, 20> kOnes = {
    "zero",     "one",     "two",     "three",     "four",     "five",    "six",
    "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
constexpr std::array<const char*, 10> kTens = {"",      "",      "twenty",  "thirty", "forty",
                                               "fifty", "sixty", "seventy", "eighty", "ninety"};

struct NumberScale {
  uint64_t value;
  const char* word;
};
constexpr std::array<NumberScale, 5> kScales = {{{1'000'000'000'000'000, "quadrillion"},
                                                 {1'000'000'000'000, "trillion"},
                                                 {1'000'000'000, "billion"},
                                                 {1'000'000, "million"},
                                                 {1'000, "thousand"}}};
constexpr uint64_t kNoScale = std::numeric_limits<uint64_t>::max();

struct OperatorWords {
  Operation operation;
  const char* first;
  const char* second;  // "": there is none
  int weight;          // among those of the operation
};
constexpr std::array<OperatorWords, 10> kOperatorWords = {{
    {Operation::kAdd, "plus", "", 1},
    {Operation::kAdd, "added", "to", 1},
    {Operation::kSubtract, "minus", "", 1},
    {Operation::kSubtract, "subtract", "", 1},
    {Operation::kSubtract, "less", "", 1},
    {Operation::kMultiply, "times", "", 2},
    {Operation::kMultiply, "multiplied", "by", 1},
    {Operation::kDivide, "divided", "by", 1},
    {Operation::kDivide, "over", "", 1},
    {Operation::kDivide, "divide", "by", 1},
}};

// 1 to 999.
std::string words_below_thousand(uint64_t number) {
  std::string words;
  if (number >= 100) words = std::string(kOnes.at(number / 100)) + " hundred";
  const uint64_t rest = number % 100;
  if (rest == 0) return words;
  if (!words.empty()) words += " and ";
  if (rest < kOnes.size()) return words + kOnes.at(rest);
  words += kTens.at(rest / 10);
  if (rest % 10 > 0) words += std::string("-") + kOnes.at(rest % 10);
  return words;
}

std::string operator_words(Operation operation, double draw) {
  int all = 0;
  for (const OperatorWords& words : kOperatorWords)
    if (words.operation == operation) all += words.weight;
  double left = draw * all;
  std::string chosen;
  for (const OperatorWords& words : kOperatorWords) {
    if (words.operation != operation) continue;
    chosen = words.first;
    if (*words.second != '\0') chosen += std::string(" ") + words.second;
    left -= words.weight;
    if (left < 0) break;
  }
  return chosen;
}

// Which of the words from `first` on it is; 0: none.
template <size_t N>
uint64_t number_among(const std::array<const char*, N>& words, size_t first,
                      std::string_view word) {
  const auto found = std::find(words.begin() + first, words.end(), word);
  return found == words.end() ? 0 : static_cast<uint64_t>(found - words.begin());
}

// What a word says of a number below 100, as in "seven", "twelve", "twenty" and "twenty-one"; 0 for
// any other word.
uint64_t small_number(std::string_view word) {
  const size_t hyphen = std::min(word.find('-'), word.size());
  const uint64_t tens = number_among(kTens, 2, word.substr(0, hyphen));
  if (hyphen == word.size()) return tens > 0 ? 10 * tens : number_among(kOnes, 1, word);
  const uint64_t ones = number_among(kOnes, 1, word.substr(hyphen + 1));
  return tens > 0 && ones >= 1 && ones <= 9 ? 10 * tens + ones : 0;
}

// All words, for the nearest one.
std::vector<std::string> english_words() {
  std::vector<std::string> words = {"and", "hundred", "negative", "point", "to", "by"};
  words.insert(words.end(), kOnes.begin(), kOnes.end());
  words.insert(words.end(), kTens.begin() + 2, kTens.end());
  for (const NumberScale& scale : kScales) words.push_back(scale.word);
  for (const OperatorWords& operators : kOperatorWords) words.push_back(operators.first);
  return words;
}

class EnglishReader {
 public:
  explicit EnglishReader(std::string_view text)
      : text_(text),
        reader_(text, kMostEnglishBytes,
                "an expression is made of numbers, + - * / and parentheses, in signs or words: "
                "seven point five times (twelve - negative three)") {}

  std::vector<ExpressionToken> read() {
    while (!reader_.at_end()) {
      if (next_word().empty())
        reader_.take_signs();
      else if (!read_operator() && !read_number())
        refuse_word();
    }
    return reader_.finish();
  }

 private:
  static bool is_english_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

  // Letters, and hyphens between them; empty where none comes next. In small letters.
  const std::string& next_word() {
    reader_.at_end();
    if (word_at_ == reader_.at() && word_end_ > 0) return word_;
    word_.clear();
    size_t end = word_at_ = reader_.at();
    while (end < text_.size() &&
           (is_english_letter(text_[end]) ||
            (text_[end] == '-' && end > word_at_ && end + 1 < text_.size() &&
             is_english_letter(text_[end - 1]) && is_english_letter(text_[end + 1])))) {
      const char c = text_[end++];
      word_ += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    word_end_ = end;
    return word_;
  }

  bool take(std::string_view word) {
    if (next_word() != word) return false;
    reader_.go_to(word_end_);
    return true;
  }

  // "hundred" stands where a number or ( should.
  [[noreturn]] void miss(const char* expected) {
    if (next_word().empty()) reader_.miss(expected);
    const size_t begin = word_at_;
    reader_.go_to(word_end_);
    reader_.misplaced(begin, expected);
  }

  [[noreturn]] void refuse_word() {
    const std::vector<std::string> known = english_words();
    if (std::find(known.begin(), known.end(), next_word()) != known.end()) miss(reader_.expected());
    const std::string nearest = nearest_name(word_, known);
    reader_.refuse(word_at_,
                   fmt::format("{} is no word of a number or an operator",
                               quoted_start(text_.substr(word_at_, word_end_ - word_at_))),
                   nearest.empty() ? "" : fmt::format("did you mean {}?", nearest));
  }

  bool read_operator() {
    const size_t begin = reader_.at();
    for (const OperatorWords& words : kOperatorWords) {
      if (!take(words.first)) continue;
      if (*words.second != '\0' && !take(words.second)) miss(words.second);
      reader_.add({ExpressionToken::kOperator, {}, words.operation}, begin);
      return true;
    }
    return false;
  }

  bool read_number() {
    const size_t begin = reader_.at();
    std::string written = take("negative") ? "-" : "";
    reader_.at_end();
    if (!written.empty() && reader_.next_is_digit()) {
      written += reader_.take_digits();
    } else if (next_word() == "zero" || small_number(next_word()) > 0) {
      written += std::to_string(read_whole());
      if (take("point")) written += "." + read_decimals();
    } else {
      if (!written.empty()) miss("a number");
      return false;
    }
    reader_.add_number(written, begin);
    return true;
  }

  // "one million, two hundred and thirty thousand and four"
  uint64_t read_whole() {
    if (take("zero")) return 0;
    uint64_t whole = 0, last = kNoScale;
    for (;;) {
      const uint64_t number = read_below_thousand();
      const uint64_t scale = next_scale();
      if (scale == kNoScale) return whole + number;
      if (scale >= last) miss("a smaller unit");
      reader_.go_to(word_end_);
      whole += number * scale;
      last = scale;
      if (!take_comma() && !take("and") && small_number(next_word()) == 0) return whole;
    }
  }

  // "two hundred and thirty-four"
  uint64_t read_below_thousand() {
    const uint64_t number = read_below_hundred();
    if (number > 9 || !take("hundred")) return number;
    const bool more = take("and") || small_number(next_word()) > 0;
    return 100 * number + (more ? read_below_hundred() : 0);
  }

  // "thirty-four", "thirty four"
  uint64_t read_below_hundred() {
    const uint64_t number = small_number(next_word());
    if (number == 0) miss("a number in words");
    reader_.go_to(word_end_);
    const uint64_t ones = small_number(next_word());
    if (number < 20 || number % 10 > 0 || ones == 0 || ones > 9) return number;
    reader_.go_to(word_end_);
    return number + ones;
  }

  // kNoScale: none comes next.
  uint64_t next_scale() {
    for (const NumberScale& scale : kScales)
      if (next_word() == scale.word) return scale.value;
    return kNoScale;
  }

  bool take_comma() {
    reader_.at_end();
    if (reader_.next() != ',') return false;
    reader_.go_to(reader_.at() + 1);
    return true;
  }

  std::string read_decimals() {
    std::string digits;
    for (;;) {
      const auto digit = std::find(kOnes.begin(), kOnes.begin() + 10, next_word());
      if (digit == kOnes.begin() + 10) break;
      if (digits.size() == kMostDecimals)
        reader_.refuse(word_at_, fmt::format("a number has at most {} digits behind its point",
                                             kMostDecimals));
      digits += static_cast<char>('0' + (digit - kOnes.begin()));
      reader_.go_to(word_end_);
    }
    if (digits.empty()) miss("a digit in words");
    return digits;
  }

  std::string_view text_;
  ExpressionReader reader_;
  std::string word_;  // that next_word() saw last, and its place
  size_t word_at_ = 0, word_end_ = 0;
};

}  // namespace

std::string cardinal(uint64_t number) {
  if (number == 0) return kOnes[0];
  if (number >= 1'000'000'000'000'000'000)
    fail(fmt::format("{} is spelled in words no more, numbers below 10^18 are", number));
  std::string words;
  for (const NumberScale& scale : kScales) {
    const uint64_t times = number / scale.value % 1000;
    if (times == 0) continue;
    if (!words.empty()) words += ", ";
    words += words_below_thousand(times) + " " + scale.word;
  }
  const uint64_t rest = number % 1000;
  if (rest == 0) return words;
  if (!words.empty()) words += rest < 100 ? " and " : ", ";
  return words + words_below_thousand(rest);
}

std::string number_words(const Decimal& decimal) {
  const std::string text = to_text(decimal);
  const bool negative = decimal.units < 0;
  const size_t point = std::min(text.find('.'), text.size());
  uint64_t whole = 0;
  for (const char digit : text.substr(negative, point - negative))
    whole = 10 * whole + static_cast<uint64_t>(digit - '0');
  std::string words = (negative ? "negative " : "") + cardinal(whole);
  if (point == text.size()) return words;
  words += " point";
  for (const char digit : text.substr(point + 1))
    words += std::string(" ") + kOnes.at(static_cast<size_t>(digit - '0'));
  return words;
}

EnglishText in_english(const std::vector<ExpressionToken>& tokens, double rate, const Draw& draw) {
  std::vector<std::string> pieces;
  size_t signs = 0, in_words = 0;
  for (const ExpressionToken& token : tokens) {
    const bool is_number = token.kind == ExpressionToken::kNumber;
    const bool translated =
        (is_number || token.kind == ExpressionToken::kOperator) && draw() < rate;
    if (!translated)
      pieces.push_back(to_text(std::vector<ExpressionToken>{token}));
    else
      pieces.push_back(is_number ? number_words(token.number)
                                 : operator_words(token.operation, draw()));
    in_words += translated;
    signs += !translated && token.kind != ExpressionToken::kOpen &&
             token.kind != ExpressionToken::kClose;
  }
  EnglishText english;
  if (in_words > 0) english.wording = signs > 0 ? Wording::kMixed : Wording::kWords;
  english.text = in_words > 0 ? join(pieces, " ") : to_text(tokens);
  // Behind the last number there are closing parentheses alone.
  english.last_operand_end = english.text.find_last_not_of(" )") + 1;
  return english;
}

std::vector<ExpressionToken> from_english(std::string_view text) {
  return EnglishReader(text).read();
}

}  // namespace fathom
