// The name that a corpus gets from its file's.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

// Letters stay, of whatever script: every visible character of UTF-8 but '/'. Blanks, control
// characters and invisible ones become '_'; a byte that is not UTF-8 is taken as Latin-1's. What is
// longer than 100 bytes is cut between two characters and ends with a checksum of the whole, so
// that two long names stay two. Never empty, never hidden.
std::string corpus_name_of(std::string_view file_stem);

// Whether nobody gave the file the name that its path has: that of a pipe or of a shell's
// redirection.
bool is_nameless(const std::string& path);

}  // namespace fathom
