// The header of a .npy file (NumPy Enhancement Proposal 1), as far as token shards need it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fathom {

inline constexpr std::string_view kNpyMagic = "\x93NUMPY";

struct NpyHeader {
  uint64_t start = 0;  // bytes before the first element
  uint64_t count = 0;  // elements
};

// `file`: the whole file, beginning with kNpyMagic. Throws Error, naming `path`, unless the file is
// format 1.0, 2.0 or 3.0 and holds exactly one 1-D array of little-endian uint16.
NpyHeader read_npy_header(std::string_view file, const std::string& path);

}  // namespace fathom
