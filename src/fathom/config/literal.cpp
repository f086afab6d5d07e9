#include "fathom/config/literal.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 16;  // deeper lists than any key has; keeps hostile input off the stack
constexpr size_t kMaxShown = 80;  // bytes of a refused text

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  json parse() {
    json value = parse_value(0);
    skip_spaces();
    if (at_ < text_.size()) refuse("unexpected text after the value");
    return value;
  }

 private:
  json parse_value(int depth) {
    skip_spaces();
    if (at_ >= text_.size()) refuse("a value is missing");
    const char c = text_[at_];
    if (c == '[') return parse_list(']', depth);
    if (c == '(') return parse_list(')', depth);
    if (c == '\'' || c == '"') return parse_string(c);
    return parse_word();
  }

  json parse_list(char close, int depth) {
    if (depth >= kMaxDepth) refuse("lists are nested too deeply");
    json list = json::array();
    ++at_;
    for (;;) {
      skip_spaces();
      if (at_ >= text_.size()) refuse("the list is not closed");
      if (text_[at_] == close) break;
      list.push_back(parse_value(depth + 1));
      skip_spaces();
      if (at_ >= text_.size()) refuse("the list is not closed");
      if (text_[at_] == ',')
        ++at_;
      else if (text_[at_] != close)
        refuse("expected , or the list's end");
    }
    ++at_;
    return list;
  }

  json parse_string(char quote) {
    std::string out;
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      char c = text_[at_];
      if (c == '\\') {
        if (++at_ >= text_.size()) break;
        c = unescaped(text_[at_]);
      }
      out += c;
    }
    if (at_ >= text_.size()) refuse("the string is not closed");
    ++at_;
    return out;
  }

  char unescaped(char c) {
    switch (c) {
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case 'r':
        return '\r';
      case '\\':
      case '\'':
      case '"':
        return c;
      default:
        refuse("unknown escape \\" + escaped({&c, 1}));
    }
  }

  json parse_word() {
    const size_t start = at_;
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n,[]()'\"").find(text_[at_]) == std::string_view::npos)
      ++at_;
    const std::string_view word = text_.substr(start, at_ - start);
    if (word == "None" || word == "none" || word == "null") return nullptr;
    if (word == "True" || word == "true") return true;
    if (word == "False" || word == "false") return false;
    json number;
    if (parse_number(word, number)) return number;
    at_ = start;
    refuse("not a number, true, false, None, a quoted text or a list");
  }

  static bool parse_number(std::string_view word, json& out) {
    std::string digits;
    for (size_t i = 0; i < word.size(); ++i) {
      const bool between = i > 0 && i + 1 < word.size() && std::isdigit(uint8_t(word[i - 1])) &&
                           std::isdigit(uint8_t(word[i + 1]));
      if (word[i] != '_' || !between) digits += word[i];
    }
    std::string_view body = digits;
    if (body.size() > 1 && body[0] == '+' && body[1] != '-') body.remove_prefix(1);
    // from_chars would also take "inf", "nan" and hexadecimal-looking words apart from these.
    if (body.empty() || body.find_first_not_of("0123456789+-.eE") != std::string_view::npos)
      return body == "inf" || body == "-inf" || body == "nan" ? (out = std::stod(digits), true)
                                                              : false;
    const char* end = body.data() + body.size();
    int64_t integer = 0;
    if (auto r = std::from_chars(body.data(), end, integer); r.ec == std::errc() && r.ptr == end)
      return out = integer, true;
    double real = 0;
    if (auto r = std::from_chars(body.data(), end, real); r.ec == std::errc() && r.ptr == end)
      return out = real, true;
    return false;
  }

  void skip_spaces() {
    while (at_ < text_.size() && std::isspace(uint8_t(text_[at_]))) ++at_;
  }

  [[noreturn]] void refuse(const std::string& why) const {
    const bool whole = text_.size() <= kMaxShown;
    misuse(fmt::format("{}{} is not a value: {} at character {}",
                       in_quotes(text_.substr(0, kMaxShown)), whole ? "" : "...", why, at_ + 1),
           "write for example 3, 1e-3, true, None, 'text' or [1, 2]");
  }

  std::string_view text_;
  size_t at_ = 0;
};

std::string quoted_literal(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += '\\', out += c;
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\r')
      out += "\\r";
    else
      out += c;
  }
  return out + '"';
}

}  // namespace

json parse_literal(std::string_view text) {
  return Parser(text).parse();
}

std::string to_literal(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return "None";
    case json::value_t::boolean:
      return value.get<bool>() ? "true" : "false";
    case json::value_t::string:
      return quoted_literal(value.get<std::string>());
    case json::value_t::number_float: {
      const double x = value.get<double>();
      std::string text = fmt::format("{}", x);
      // "1" would come back as an integer.
      if (std::isfinite(x) && text.find_first_of(".e") == std::string::npos) text += ".0";
      return text;
    }
    case json::value_t::array: {
      std::vector<std::string> items;
      for (const json& item : value) items.push_back(to_literal(item));
      return "[" + join(items, ", ") + "]";
    }
    default:
      return value.dump(-1, ' ', false, json::error_handler_t::replace);
  }
}

std::string type_in_words(const std::string& type) {
  return type == "bool" ? "true or false" : type == "bool or None" ? "true, false or None" : type;
}

}  // namespace fathom
