// A place in the text of an expression, and the tokens before it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/numbers/expression_grammar.h"

namespace fathom {

// Errors are Error(kUsage), "the expression, character 7: ...", counted from 1.
class ExpressionReader {
 public:
  // Throws for more than `most_bytes`. `text` outlives the reader.
  ExpressionReader(std::string_view text, size_t most_bytes, std::string hint);

  // Whether nothing but blanks is left; they are skipped.
  bool at_end();
  size_t at() const { return at_; }
  void go_to(size_t at) { at_ = at; }
  // 0 at the end.
  char next() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool next_is_digit() const { return is_digit(at_); }

  // The number, operator or parenthesis that is written here in signs.
  void take_signs();
  // The digits that are here, with a point and digits where they have one.
  std::string_view take_digits();
  // Adds what was read from `begin` to here. Throws where it may not stand, and beyond the limits.
  void add_number(const std::string& written, size_t begin);
  void add(const ExpressionToken& token, size_t begin);
  // Throws where the expression is not complete.
  std::vector<ExpressionToken> finish();

  [[noreturn]] void refuse(size_t at, const std::string& why, const std::string& hint = "") const;
  // What was read from `begin` to here "stands where {} should".
  [[noreturn]] void misplaced(size_t begin, const char* expected) const;
  // The same of the character that is here.
  [[noreturn]] void miss(const char* expected) const;
  const char* expected() const { return grammar_.expected(); }

 private:
  bool is_digit(size_t at) const {
    return at < text_.size() && text_[at] >= '0' && text_[at] <= '9';
  }

  std::string_view text_;
  std::string hint_;
  size_t at_ = 0;
  ExpressionGrammar grammar_;
  std::vector<ExpressionToken> tokens_;
};

}  // namespace fathom
