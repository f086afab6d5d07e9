#include "fathom/data/numbers/expression_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/base/utf8.h"

namespace fathom {

ExpressionReader::ExpressionReader(std::string_view text, size_t most_bytes, std::string hint)
    : text_(text), hint_(std::move(hint)) {
  if (text.size() > most_bytes)
    misuse(fmt::format("the expression has {} bytes, at most {} are read", text.size(), most_bytes),
           hint_);
}

bool ExpressionReader::at_end() {
  at_ = std::min(text_.find_first_not_of(" \t", at_), text_.size());
  return at_ == text_.size();
}

void ExpressionReader::take_signs() {
  const size_t begin = at_;
  const bool sign = next() == '-' && grammar_.operand && is_digit(at_ + 1);
  if (sign || next_is_digit()) {
    at_ += sign;
    take_digits();
    add_number(std::string(text_.substr(begin, at_ - begin)), begin);
    return;
  }
  ExpressionToken token;
  token.kind = ExpressionToken::kOperator;
  switch (next()) {
    case '+':
      token.operation = Operation::kAdd;
      break;
    case '-':
      token.operation = Operation::kSubtract;
      break;
    case '*':
      token.operation = Operation::kMultiply;
      break;
    case '/':
      token.operation = Operation::kDivide;
      break;
    case '(':
      token.kind = ExpressionToken::kOpen;
      break;
    case ')':
      token.kind = ExpressionToken::kClose;
      break;
    default:
      miss(expected());
  }
  ++at_;
  add(token, begin);
}

std::string_view ExpressionReader::take_digits() {
  const size_t begin = at_;
  while (is_digit(at_)) ++at_;
  if (next() == '.') {
    ++at_;
    if (!next_is_digit()) miss("a digit");
    while (is_digit(at_)) ++at_;
  }
  return text_.substr(begin, at_ - begin);
}

void ExpressionReader::add_number(const std::string& written, size_t begin) {
  const auto is_one = [](char c) { return c >= '0' && c <= '9'; };
  const auto digits = std::count_if(written.begin(), written.end(), is_one);
  const size_t point = std::min(written.find('.'), written.size() - 1);
  const size_t decimals = written.size() - 1 - point;
  if (digits > kMostDigits || decimals > kMostDecimals)
    refuse(begin, fmt::format("a number has at most {} digits, and {} of them behind its point",
                              kMostDigits, kMostDecimals));
  ExpressionToken token;
  token.number = parse_decimal(written);
  add(token, begin);
}

void ExpressionReader::add(const ExpressionToken& token, size_t begin) {
  if (!grammar_.allows(token.kind)) misplaced(begin, expected());
  if (tokens_.size() == kMostExpressionTokens)
    refuse(begin, fmt::format("there are more than {} numbers, operators and parentheses",
                              kMostExpressionTokens));
  if (token.kind == ExpressionToken::kOpen && grammar_.open == kMostNested)
    refuse(begin, fmt::format("parentheses are more than {} deep", kMostNested));
  grammar_.take(token.kind);
  tokens_.push_back(token);
}

std::vector<ExpressionToken> ExpressionReader::finish() {
  if (!grammar_.may_end()) miss(expected());
  return std::move(tokens_);
}

void ExpressionReader::refuse(size_t at, const std::string& why, const std::string& hint) const {
  // What is read is ASCII up to here, so that a byte is a character.
  misuse(fmt::format("the expression, character {}: {}", at + 1, why), hint.empty() ? hint_ : hint);
}

void ExpressionReader::misplaced(size_t begin, const char* expected) const {
  refuse(begin, fmt::format("{} stands where {} should",
                            quoted_start(text_.substr(begin, at_ - begin)), expected));
}

void ExpressionReader::miss(const char* expected) const {
  if (at_ >= text_.size())
    refuse(text_.size(), fmt::format("the text ends where {} should stand", expected));
  const size_t length = std::max<size_t>(1, utf8_length(text_, at_));
  refuse(at_,
         fmt::format("{} stands where {} should", in_quotes(text_.substr(at_, length)), expected));
}

}  // namespace fathom
