#include <fmt/format.h>
#include <xxhash.h>

#include "fathom/io/files.h"

namespace fathom {

uint64_t xxh3(Span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

uint64_t xxh3_file(const std::string& path) {
  return xxh3(MappedFile(path).bytes());
}

std::string xxh3_hex(uint64_t hash) {
  return fmt::format("{:016x}", hash);
}

std::string xxh3_hex(Span<const std::byte> bytes) {
  return xxh3_hex(xxh3(bytes));
}

}  // namespace fathom
