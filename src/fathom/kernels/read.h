// Reading memory with all threads and doing next to nothing with it: what decoding is measured
// against.
#pragma once

#include <cstddef>

namespace fathom {

// Whether one of the bytes is `what`; to be called with one that is not there, so that all are
// read.
bool has_byte(const char* bytes, size_t count, char what);

}  // namespace fathom
