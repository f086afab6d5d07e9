// Small string helpers that messages and parsers share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);  // spaces, tabs, carriage returns, newlines

// The candidate with the fewest edits (insert, delete, replace, swap of neighbours) from `name`;
// empty when even the nearest differs in more than a third of its letters. Ties: the first.
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

// "did you mean X?" for a near miss, else "allowed: a, b, c" (or "see `see`" for long lists).
std::string suggestion(std::string_view name, const std::vector<std::string>& candidates,
                       std::string_view see = "");

std::string with_commas(int64_t n);  // 1234567 -> "1,234,567"
// "1 batch", "1,234 batches"; the plural is with an s where it is not given.
std::string counted(int64_t n, std::string_view one, std::string_view many = "");
std::string human_count(double n);           // 120560209 -> "120.56M"
std::string human_bytes(double n);           // 1536 -> "1.5 KiB"
std::string human_duration(double seconds);  // 125.3 -> "2m05s"
// Control characters, quotes, bytes that are not UTF-8 and characters that cannot be seen
// (base/visible.h) escaped as in C; for messages and samples.
std::string in_quotes(std::string_view text);
// The same, cut to a length fit for a message.
std::string quoted_start(std::string_view text);
// Without quotes, and quotes and backslashes as they are: a word from outside inside a sentence.
// Cut as well.
std::string escaped(std::string_view text);
// "1, 2, 3", cut as well.
std::string shown_list(const std::vector<int64_t>& list);
std::string shown_list(const std::vector<double>& list);
// UTF-8 in one line, all of it to be seen, and nothing in it that a terminal would obey.
bool is_printable(std::string_view text);

// A leading "~" or "~/" as the shell has it, where $HOME is set: shells leave it alone behind an
// equals sign. Any other path is itself.
std::string home_expanded(const std::string& path);

}  // namespace fathom
