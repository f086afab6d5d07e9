// The process that has started this one as a rank, as far as this machine shows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace fathom {

// When it began, in seconds since 1970. It is the nearest ancestor without `variable`, which it
// gives to its ranks; a script between the two has it as well. Nothing: that is not known.
std::optional<int64_t> launcher_start(const char* variable);

// Whether a file or a folder was written before that, by clocks that may differ by two seconds.
// False: it was not, or nobody knows.
bool is_older_than_launcher(const std::string& file, const char* variable);

}  // namespace fathom
