// Paths that begin at an open folder instead of at its name, so that they never lead into another
// folder that takes the name later; and how people know them.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

// "/proc/self/fd/N", or `name` where there is no /proc. From then on shown_paths() gives `name`
// for it. The caller keeps the descriptor open for as long as the path is used.
std::string held_path(int descriptor, const std::string& name);

// `text` (a path, or a whole message) with every path of held_path() as people know it.
std::string shown_paths(std::string_view text);

}  // namespace fathom
