// Files of the repository that tests read.
#pragma once

#include <string>

namespace fathom::testing {

// The repository's root. The build writes it into one small file (source_path.cpp.in), so that all
// others are the same in every clone and ccache knows them.
extern const char* const kSourceFolder;

// The absolute path of `below`, which is relative to that root.
inline std::string source_path(const std::string& below) {
  return std::string(kSourceFolder) + "/" + below;
}

}  // namespace fathom::testing
