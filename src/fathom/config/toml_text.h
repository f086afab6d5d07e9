// TOML from outside, before it has a meaning. For config/ alone: it shows the parser's types.
#pragma once

#include <toml++/toml.h>

#include <string>
#include <string_view>

namespace fathom {

inline constexpr char kByteOrderMark[] = "\xEF\xBB\xBF";  // by editors that begin a file with one

// Text as the parsers take it: without a byte order mark, and every line ends as lines do here.
// What is no UTF-8 at all is told by its first bytes, lest the parser complain of a character
// nobody sees.
// Throws Error(kUsage).
std::string plain_config_text(std::string_view text, const std::string& name);

// Of a plain text. Throws Error(kUsage) with file and line; `hint`: what such a file is.
toml::table parse_toml(const std::string& text, const std::string& name, const std::string& hint);

}  // namespace fathom
