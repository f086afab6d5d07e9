#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "fathom/base/text.h"
#include "fathom/io/files.h"
#include "fathom/io/posix.h"

namespace fathom {
namespace {

constexpr int kWaitMilliseconds = 100;
constexpr size_t kFirstBytes = 1 << 16, kPieceBytes = 64 << 20;  // a piece's memory is given back
constexpr size_t kLookBytes = 16 << 20;
constexpr char kVariable[] = "FATHOM_STREAMS";  // the number of the descriptor that holds them
constexpr std::string_view kMagic = "fathom streams 1\n";

template <class Number>
std::optional<Number> number_of(std::string_view digits) {
  Number number{};
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, number);
  if (error != std::errc() || stop != end) return {};
  return number;
}

// The descriptor of this process that a path such as /dev/stdin or /dev/fd/63 names, or -1.
int named_descriptor(const std::string& path) {
  if (path == "/dev/stdin") return STDIN_FILENO;
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"})
    if (path.rfind(folder, 0) == 0) return number_of<int>(path.substr(folder.size())).value_or(-1);
  return -1;
}

posix::Fd open_stream(const std::string& path) {
  // O_NONBLOCK: opening a named pipe would wait for its writer, deaf to everything else.
  posix::Fd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (fd.is_open()) return fd;
  const int error = errno;
  // A socket cannot be opened by such a name, nor a pipe that another user made.
  const int named = named_descriptor(path);
  if (named >= 0) fd = posix::Fd(::fcntl(named, F_DUPFD_CLOEXEC, 0));
  if (!fd.is_open()) posix::fail_errno("open", path, error);
  return fd;
}

// By what stat() says of a stream: /dev/stdin and /dev/fd/0 are the same.
using StreamKey = std::string;
StreamKey key_of(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) posix::fail_errno("open", path, errno);
  return fmt::format("{}:{}", status.st_dev, status.st_ino);
}

using Streams = std::map<StreamKey, std::string>;

// "<key> <bytes>\n" and the bytes, one after the other.
Streams parse_streams(std::string_view text) {
  Streams streams;
  for (text.remove_prefix(kMagic.size()); !text.empty();) {
    const size_t space = text.find(' '), line = text.find('\n');
    if (line == text.npos || space > line) break;
    const auto size = number_of<size_t>(text.substr(space + 1, line - space - 1));
    if (!size || *size > text.size() - line - 1) break;
    streams.emplace(text.substr(0, space), text.substr(line + 1, *size));
    text.remove_prefix(line + 1 + *size);
  }
  return streams;
}

// What the program before this one read. A variable that means something else is left alone.
Streams taken_over() {
  const char* variable = std::getenv(kVariable);
  const int fd = variable != nullptr ? number_of<int>(variable).value_or(-1) : -1;
  struct stat status;
  if (fd < 0 || ::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return {};
  std::string text(static_cast<size_t>(status.st_size), '\0');
  size_t length = 0;
  while (length < text.size()) {
    const ssize_t got =
        ::pread(fd, text.data() + length, text.size() - length, static_cast<off_t>(length));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    length += static_cast<size_t>(got);
  }
  text.resize(length);
  if (text.rfind(kMagic, 0) != 0) return {};
  ::close(fd);
  ::unsetenv(kVariable);
  return parse_streams(text);
}

Streams& remembered() {
  static Streams streams = taken_over();
  return streams;
}

void check_length(size_t length, uint64_t max_bytes, const std::string& path) {
  if (length > max_bytes)
    fail(fmt::format("{} is longer than the {} bytes that are read of such a file", path,
                     with_commas(static_cast<int64_t>(max_bytes))),
         "check that the path names the file you mean");
}

}  // namespace

std::string read_stream(const std::string& path, uint64_t max_bytes,
                        const std::function<void(uint64_t)>& waiting,
                        const std::function<void(std::string_view)>& look) {
  const posix::Fd fd = open_stream(path);
  std::vector<std::string> before;  // pieces, for one that grows would be there twice
  std::string text;
  size_t length = 0, used = 0;  // of all, and of the last piece
  for (;;) {
    if (waiting) waiting(length);
    pollfd ready = {fd.get(), POLLIN, 0};
    if (::poll(&ready, 1, waiting ? kWaitMilliseconds : -1) <= 0) continue;
    if (used == kPieceBytes) {
      before.push_back(std::move(text));
      text = std::string(kPieceBytes, '\0');
      used = 0;
    } else if (used == text.size()) {
      if (used == kLookBytes && before.empty() && look) look(text);
      text.resize(std::max<size_t>(kFirstBytes, 2 * used));
    }
    const ssize_t got = ::read(fd.get(), text.data() + used, text.size() - used);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) posix::fail_errno("read", path, errno);
    if (got == 0) break;
    length += static_cast<size_t>(got);
    used += static_cast<size_t>(got);
    check_length(length, max_bytes, path);
  }
  text.resize(used);
  if (before.empty()) return text;
  std::string all;
  all.reserve(length);
  before.push_back(std::move(text));
  for (std::string& piece : before) all += std::exchange(piece, {});
  return all;
}

std::string read_once(const std::string& path, uint64_t max_bytes) {
  if (kind_of(path) != PathKind::kStream) return read_text_file(path, max_bytes);
  const StreamKey key = key_of(path);
  auto found = remembered().find(key);
  if (found == remembered().end())
    found = remembered().emplace(key, read_stream(path, max_bytes)).first;
  check_length(found->second.size(), max_bytes, path);
  return found->second;
}

void hand_over_streams() {
  if (remembered().empty()) return;
  std::string text(kMagic);
  for (const auto& [key, content] : remembered())
    text += fmt::format("{} {}\n", key, content.size()) + content;
  const int fd = ::memfd_create("fathom-streams", 0);  // stays open through execv()
  if (fd < 0) posix::fail_errno("create", "a file in memory", errno);
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(fd, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) posix::fail_errno("write", "a file in memory", written < 0 ? errno : EIO);
    done += static_cast<size_t>(written);
  }
  ::setenv(kVariable, std::to_string(fd).c_str(), /*overwrite=*/1);
}

}  // namespace fathom
