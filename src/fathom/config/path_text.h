// Paths are bytes, texts are UTF-8: how a path stands in TOML, in JSON and in a line to be typed.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

bool is_utf8(std::string_view text);

// The path itself where that is UTF-8. Otherwise, and where it would be taken for one, a URL of
// RFC 8089: "file:///data/caf%E9"; of a relative path "file:caf%E9".
std::string path_to_text(const std::string& path);
// The path that `text` stands for; the text itself if it is no such URL.
std::string path_from_text(const std::string& text);

// `text` as one word of a bash command line: bare, 'quoted', or $'with \xe9 escapes' where it has
// control characters or is not UTF-8.
std::string shell_word(std::string_view text);

}  // namespace fathom
