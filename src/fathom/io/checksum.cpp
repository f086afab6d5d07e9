#include <fcntl.h>
#include <fmt/format.h>
#include <xxhash.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "fathom/io/files.h"
#include "fathom/io/posix.h"

namespace fathom {

uint64_t xxh3(Span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

// Read in pieces, not mapped: as fast, and a bad sector is an error instead of SIGBUS.
uint64_t xxh3_file(const std::string& path) {
  const posix::Fd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd.is_open()) posix::fail_errno("open", path, errno);
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<std::byte> piece(size_t{1} << 16);
  for (;;) {
    const ssize_t got = ::read(fd.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) posix::fail_errno("read", path, errno);
    if (got == 0) return XXH3_64bits_digest(state.get());
    XXH3_64bits_update(state.get(), piece.data(), static_cast<size_t>(got));
  }
}

std::string xxh3_hex(uint64_t hash) {
  return fmt::format("{:016x}", hash);
}

std::string xxh3_hex(Span<const std::byte> bytes) {
  return xxh3_hex(xxh3(bytes));
}

}  // namespace fathom
