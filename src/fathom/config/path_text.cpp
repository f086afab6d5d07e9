#include "fathom/config/path_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "fathom/base/text.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

constexpr std::string_view kScheme = "file:";
constexpr std::string_view kHost = "//localhost/";

// ASCII whatever the locale.
bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_one_of(char c, std::string_view signs) {
  return signs.find(c) != std::string_view::npos;
}

int hex_digit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

std::string unescaped(std::string_view url) {
  std::string out;
  for (size_t i = 0; i < url.size(); ++i) {
    const bool escape = url[i] == '%' && i + 2 < url.size();
    const int high = escape ? hex_digit(url[i + 1]) : -1;
    const int low = escape ? hex_digit(url[i + 2]) : -1;
    if (high < 0 || low < 0 || 16 * high + low == 0) {  // no path holds a NUL
      out += url[i];
    } else {
      out += static_cast<char>(16 * high + low);
      i += 2;
    }
  }
  return out;
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t n = utf8_length(text, i);
    if (n == 0) return false;
    i += n;
  }
  return true;
}

std::string path_to_text(const std::string& path) {
  if (is_utf8(path) && path.rfind(kScheme, 0) != 0) return path;
  std::string url(kScheme);
  if (!path.empty() && path[0] == '/') url += "//";
  for (const char c : path)
    url += is_alphanumeric(c) || is_one_of(c, "/-._~")
               ? std::string(1, c)
               : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  return url;
}

std::string path_from_text(const std::string& text) {
  if (text.rfind(kScheme, 0) != 0) return text;
  std::string_view rest = std::string_view(text).substr(kScheme.size());
  if (rest.substr(0, kHost.size()) == kHost)
    rest.remove_prefix(kHost.size() - 1);
  else if (rest.substr(0, 3) == "///")
    rest.remove_prefix(2);
  else if (rest.substr(0, 2) == "//")
    return text;  // on another machine
  return unescaped(rest);
}

std::string shell_word(std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) || is_one_of(c, "_-./:=,+") || static_cast<unsigned char>(c) >= 0x80;
  });
  const bool typed = is_printable(text);
  if (plain && typed && !text.empty()) return std::string(text);
  std::string word = typed ? "'" : "$'";
  for (size_t i = 0; i < text.size();) {
    const size_t n = utf8_length(text, i);
    const std::string_view piece = text.substr(i, std::max<size_t>(n, 1));
    if (typed)
      word += piece == "'" ? "'\\''" : piece;
    else if (piece == "'" || piece == "\\")
      word.append("\\").append(piece);
    else if (n > 0 && is_printable(piece))
      word += piece;
    else
      for (const char c : piece) word += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    i += piece.size();
  }
  return word + "'";
}

}  // namespace fathom
