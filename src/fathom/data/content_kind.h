// What a file is by its content, where it is given as a text or as token ids and is neither.
//
// A text is never taken for something else: what begins with letters ("PK", "GIF89a") counts only
// where control characters follow that no text has. What has no name counts by binary_kind().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fathom {

inline constexpr size_t kContentHead = 1 << 16;  // bytes of a file's beginning that are looked at
inline constexpr size_t kContentTail = 1 << 10;  // and of its end

struct ContentKind {
  std::string what;    // "a gzip file"
  std::string remedy;  // a line that makes a text of FILE; empty: none is known
};

// A hint for whoever gave it as a text.
std::string text_hint(const ContentKind& kind, const char* otherwise);

// `head` and `tail`: the file's first and last bytes, as many as above or all of them. `sample`:
// of all of it, as spread_sample() takes it; empty: the head stands for it.
// None: it may be a text, in UTF-8 or any other encoding that has a byte or two for a letter.
std::optional<ContentKind> other_than_text(std::string_view head, std::string_view tail,
                                           uint64_t file_bytes, std::string_view sample = {});
std::optional<ContentKind> other_than_text(std::string_view text);  // a whole file
// None: it may be bare uint16 ids.
std::optional<ContentKind> other_than_ids(std::string_view head, std::string_view tail,
                                          uint64_t file_bytes);

// Throws Error that says what the text of `path` is instead, and what to type.
void require_text(std::string_view text, const std::string& path);
// The same by a beginning.
void require_text_start(std::string_view start, const std::string& path);

// UTF-8's byte order mark, or nothing.
std::string_view byte_order_mark(std::string_view text);

}  // namespace fathom
