#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/base/utf8.h"
#include "fathom/model/spec/expression.h"

namespace fathom {
namespace {

constexpr int kLargestPart = 999;

// By bytes, whatever the locale.
bool is_formula_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_formula_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Length of the name that `text` begins with; 0: none.
size_t name_length(std::string_view text) {
  size_t end = 0;
  for (size_t i = 0; i < text.size() && is_formula_letter(text[i]); ++i) {
    while (i < text.size() && (is_formula_letter(text[i]) || is_formula_digit(text[i]))) ++i;
    end = i;
    if (i == text.size() || text[i] != '.') break;
  }
  return end;
}

// A value and how many operations deep it is.
struct ParsedValue {
  Expr expr;
  int depth = 0;
};

class FormulaParser {
 public:
  FormulaParser(std::string_view text, const std::string& what) : text_(text), what_(what) {
    if (text.size() > kLongestFormula)
      misuse(
          fmt::format("{} has {} bytes, at most {} are read", what, text.size(), kLongestFormula),
          "a formula is a few statements");
    columns_.reserve(text.size() + 1);
    int column = 0;
    for (const char c : text) {
      if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) ++column;  // not inside a code point
      columns_.push_back(column);
    }
    columns_.push_back(column + 1);
  }

  std::vector<Statement> parse() {
    std::vector<Statement> statements;
    for (skip_separators(); at_ < text_.size(); skip_separators())
      statements.push_back(statement());
    if (statements.empty()) refuse(at_, "there is no statement");
    return statements;
  }

 private:
  [[noreturn]] void refuse(
      size_t at, const std::string& why,
      const char* hint =
          "a statement is `name = value`, a value is made of numbers, names, calls "
          "name(...), + - * / > and parentheses; ; or a new line ends it") const {
    misuse(fmt::format("{}, column {}: {}", what_, columns_[at], why), hint);
  }

  // "`x` stands where a value should"
  [[noreturn]] void miss(const char* what) const {
    if (at_ == text_.size()) refuse(at_, fmt::format("the text ends where {} should stand", what));
    const size_t length = std::max<size_t>(1, utf8_length(text_, at_));
    refuse(at_,
           fmt::format("{} stands where {} should", in_quotes(text_.substr(at_, length)), what));
  }

  bool next_is(char c) const { return at_ < text_.size() && text_[at_] == c; }

  bool take(char c) {
    skip_space();
    if (!next_is(c)) return false;
    ++at_;
    return true;
  }

  void expect(char c, const char* what) {
    if (!take(c)) miss(what);
  }

  void skip_comment() {
    if (next_is('#')) at_ = std::min(text_.find('\n', at_), text_.size());
  }

  void skip_space() {
    for (;; ++at_) {
      if (parentheses_ > 0) skip_comment();
      if (!next_is(' ') && !next_is('\t') && !next_is('\r') && !(parentheses_ > 0 && next_is('\n')))
        return;
    }
  }

  void skip_separators() {
    for (;; ++at_) {
      skip_space();
      skip_comment();
      if (!next_is(';') && !next_is('\n')) return;
    }
  }

  // Empty if there is none here.
  std::string take_name() {
    const std::string name(text_.substr(at_, name_length(text_.substr(at_))));
    at_ += name.size();
    return name;
  }

  Statement statement() {
    Statement s;
    const size_t begin = at_;
    s.column = columns_[begin];
    s.target = take_name();
    if (s.target.empty()) miss("the name that a statement assigns");
    expect('=', "=");
    s.value = value().expr;
    if (take('[')) {
      do s.attributes.push_back(attribute(s.attributes));
      while (take(','));
      expect(']', "] or ,");
    }
    skip_space();
    if (at_ < text_.size() && !next_is(';') && !next_is('\n') && !next_is('#'))
      miss("an operation or the statement's end");
    s.typed = trim(text_.substr(begin, at_ - begin));
    return s;
  }

  Attribute attribute(const std::vector<Attribute>& before) {
    skip_space();
    Attribute a;
    const size_t begin = at_;
    a.column = columns_[at_];
    a.name = take_name();
    if (a.name.empty()) miss("an attribute's name");
    for (const Attribute& known : before)
      if (known.name == a.name)
        refuse(begin, fmt::format("attribute {} is given twice", escaped(a.name)));
    expect('=', "=");
    a.text = trim(attribute_text());
    if (a.text.empty()) miss("an attribute's value");
    return a;
  }

  // Up to the , or ] that is not in brackets of its own.
  std::string_view attribute_text() {
    const size_t begin = at_;
    int open = 0;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == ';' || c == '#' || c == '\n' || (open == 0 && (c == ',' || c == ']'))) break;
      if (c == '[' || c == '(') ++open;
      if (c == ']' || c == ')') --open;
    }
    return text_.substr(begin, at_ - begin);
  }

  ParsedValue value() {
    ParsedValue left = sum();
    const size_t at = at_;
    return take('>') ? joined(Expr::kGreater, std::move(left), sum(), at) : left;
  }

  ParsedValue sum() {
    ParsedValue left = product();
    for (;;) {
      skip_space();
      const size_t at = at_;
      if (take('+'))
        left = joined(Expr::kAdd, std::move(left), product(), at);
      else if (take('-'))
        left = joined(Expr::kSubtract, std::move(left), product(), at);
      else
        return left;
    }
  }

  ParsedValue product() {
    ParsedValue left = factor();
    for (;;) {
      skip_space();
      const size_t at = at_;
      if (take('*'))
        left = joined(Expr::kMultiply, std::move(left), factor(), at);
      else if (take('/'))
        left = joined(Expr::kDivide, std::move(left), factor(), at);
      else
        return left;
    }
  }

  ParsedValue factor() {
    skip_space();
    const size_t begin = at_;
    Nested nested(*this);
    if (take('-')) {
      ParsedValue x = factor();
      if (x.expr.op == Expr::kNumber) {
        x.expr.number = -x.expr.number;
        x.expr.column = columns_[begin];
        return x;
      }
      return joined(Expr::kMultiply, {wire::number(-1), 0}, std::move(x), begin);
    }
    if (take('(')) {
      ++parentheses_;
      ParsedValue x = value();
      expect(')', "an operation or )");
      --parentheses_;
      return x;
    }
    if (at_ < text_.size() && (is_formula_digit(text_[at_]) || text_[at_] == '.')) return number();
    return name_or_call();
  }

  ParsedValue number() {
    const size_t begin = at_;
    Expr e = wire::number(0);
    e.column = columns_[begin];
    const char* const first = text_.data() + begin;
    const auto [end, error] = std::from_chars(first, text_.data() + text_.size(), e.number);
    if (error == std::errc::invalid_argument) miss("a value");
    at_ += static_cast<size_t>(end - first);
    if (error != std::errc() || !std::isfinite(e.number))
      refuse(begin, fmt::format("{} is no number of double precision",
                                escaped(text_.substr(begin, at_ - begin))));
    if (at_ < text_.size() && (is_formula_letter(text_[at_]) || text_[at_] == '.'))
      miss("an operation or the end");
    return {std::move(e), 0};
  }

  ParsedValue name_or_call() {
    const size_t begin = at_;
    Expr e = wire::name(take_name());
    e.column = columns_[begin];
    if (e.name.empty()) miss("a value");
    const bool part = e.name == "A" || e.name == "M" || e.name == "N";
    if (part && take('[')) {
      e.part = part_number();
      expect(']', "]");
      skip_space();
      if (!next_is('(')) miss("(");
    }
    if (!take('(')) return {std::move(e), 0};
    int depth = 0;
    ++parentheses_;
    if (!take(')')) {
      do {
        ParsedValue argument = value();
        depth = std::max(depth, argument.depth);
        e.args.push_back(std::move(argument.expr));
      } while (take(','));
      expect(')', "an operation, a comma or )");
    }
    --parentheses_;
    name_call(e, part);
    return {std::move(e), deeper(depth, begin)};
  }

  static void name_call(Expr& e, bool part) {
    e.op = Expr::kCall;
    if (part) {
      e.op = e.name == "A" ? Expr::kAttention : e.name == "M" ? Expr::kMlp : Expr::kNorm;
      e.name.clear();
    } else if (e.name.rfind("F.", 0) == 0) {
      e.op = Expr::kFunction;
      e.name.erase(0, 2);
    } else if (e.name == "sig") {
      e.name = "sigmoid";
    }
  }

  int part_number() {
    skip_space();
    int part = 0;
    const char* const first = text_.data() + at_;
    const auto [end, error] = std::from_chars(first, text_.data() + text_.size(), part);
    if (end == first || part < 0) miss("a part's number");
    if (error != std::errc() || part > kLargestPart)
      refuse(at_, fmt::format("a part's number is at most {}", kLargestPart));
    at_ += static_cast<size_t>(end - first);
    return part;
  }

  ParsedValue joined(Expr::Op op, ParsedValue left, ParsedValue right, size_t at) const {
    ParsedValue out;
    out.depth = deeper(std::max(left.depth, right.depth), at);
    out.expr.op = op;
    out.expr.column = columns_[at];
    out.expr.args.push_back(std::move(left.expr));
    out.expr.args.push_back(std::move(right.expr));
    return out;
  }

  int deeper(int depth, size_t at) const {
    if (depth >= kDeepestFormula) too_deep(at);
    return depth + 1;
  }

  [[noreturn]] void too_deep(size_t at) const {
    refuse(at,
           fmt::format("more than {} operations are in a row or one within the other",
                       kDeepestFormula),
           "give a part of it a name of its own");
  }

  // Parentheses and signs count too: each takes some of the stack.
  class Nested {
   public:
    explicit Nested(FormulaParser& parser) : parser_(parser) {
      if (++parser.nested_ > kDeepestFormula + 1) parser.too_deep(parser.at_);
    }
    ~Nested() { --parser_.nested_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    FormulaParser& parser_;
  };

  const std::string_view text_;
  const std::string& what_;
  std::vector<int> columns_;  // by byte, and of the end
  size_t at_ = 0;
  int parentheses_ = 0, nested_ = 0;
};

}  // namespace

bool is_formula_name(std::string_view text) {
  return !text.empty() && name_length(text) == text.size();
}

std::vector<Statement> parse_formula(std::string_view text, const std::string& what) {
  return FormulaParser(text, what).parse();
}

}  // namespace fathom
