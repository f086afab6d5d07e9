#include "fathom/config/toml_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

// The last character of the TOML string that begins at text[i]; counts the lines that it spans.
size_t string_end(std::string_view text, size_t i, int& line) {
  const char quote = text[i];
  const bool is_long = text.substr(i, 3) == std::string(3, quote);
  for (i += is_long ? 3 : 1; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n' && !is_long) return i - 1;  // not closed: the parser will say so
    line += c == '\n';
    if (c == '\\' && quote == '"')
      ++i;
    else if (c == quote && !is_long)
      return i;
    else if (c == quote &&
             text.substr(i, 3) == std::string(3, quote))  // its last quotes may be five
      return std::min({text.find_first_not_of(quote, i), text.size(), i + 5}) - 1;
  }
  return text.size();
}

// Refuses keys of many parts, `a.b.c.d = 1`: the parser makes a table inside a table of them, and
// the stack does not hold what a megabyte of dots asks for. Strings and comments are told apart as
// TOML does, lest something hide in them.
void check_keys(std::string_view text, const std::string& name) {
  constexpr int kMaxParts = 16;
  int line = 1, parts = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      i = string_end(text, i, line);
    } else if (c == '#') {
      i = std::min(text.find('\n', i), text.size()) - 1;
    } else if (c == '\n' || std::string_view("=,[]{}").find(c) != std::string_view::npos) {
      line += c == '\n';
      parts = 1;
    } else if (c == '.' && ++parts > kMaxParts) {
      misuse(fmt::format("{}:{}: a key has more than {} parts", name, line, kMaxParts),
             "keys are names, under their [section] or without one");
    }
  }
}

}  // namespace

std::string plain_config_text(std::string_view text, const std::string& name) {
  const auto begins = [&](std::string_view mark) { return text.substr(0, mark.size()) == mark; };
  using namespace std::string_view_literals;
  const bool utf16 = begins("\xFF\xFE"sv) || begins("\xFE\xFF"sv);
  if (utf16 || text.find('\0') != std::string_view::npos)
    misuse(fmt::format("{} is {}, not UTF-8", escaped(name),
                       utf16 ? "UTF-16" : "UTF-16 without its mark, or no text"),
           "save it as UTF-8; `iconv -f UTF-16 -t UTF-8` converts it");
  if (begins(kByteOrderMark)) text.remove_prefix(3);
  std::string out(text);
  for (size_t i = 0; i < out.size(); ++i)
    if (out[i] == '\r' && (i + 1 == out.size() || out[i + 1] != '\n')) out[i] = '\n';
  return out;
}

toml::table parse_toml(const std::string& text, const std::string& name, const std::string& hint) {
  check_keys(text, name);
  try {
    return toml::parse(text, name);
  } catch (const toml::parse_error& e) {
    misuse(fmt::format("{}:{}: {}", name, e.source().begin.line, escaped(e.description())), hint);
  }
}

}  // namespace fathom
