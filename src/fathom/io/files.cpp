#include "fathom/io/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/posix.h"

namespace fathom {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr size_t kWriteBytes = size_t{1} << 30;  // write() takes a little under 2 GiB at once

void write_all(int fd, const void* data, size_t size, const std::string& path) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(fd, next, std::min(size, kWriteBytes));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) posix::fail_errno("write", path, written < 0 ? errno : EIO);
    next += written;
    size -= static_cast<size_t>(written);
  }
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a named pipe would wait for its writer.
  posix::Fd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat status;
  if (!fd.is_open() || ::fstat(fd.get(), &status) != 0) posix::fail_errno("open", path, errno);
  if (!S_ISREG(status.st_mode))
    fail(fmt::format("cannot open {}: it is {}, not a regular file", path,
                     S_ISDIR(status.st_mode) ? "a folder" : "a device or a pipe"));
  if (status.st_size == 0) {  // mmap refuses length zero
    fd_ = fd.release();
    return;
  }
  const auto size = static_cast<size_t>(status.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (address == MAP_FAILED) posix::fail_errno("map", path, errno);
  data_ = static_cast<const std::byte*>(address);
  size_ = size;
  fd_ = fd.release();
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
  if (fd_ >= 0) ::close(fd_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MappedFile::read(uint64_t offset, Span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        ::pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) posix::fail_errno("read", path_, errno);
    if (got == 0)
      fail(fmt::format("{} ends at byte {}, it had {} when it was opened", path_,
                       with_commas(static_cast<int64_t>(offset + done)),
                       with_commas(static_cast<int64_t>(size_))),
           "something cut it short meanwhile: make it again");
    done += static_cast<size_t>(got);
  }
}

std::string read_text_file(const std::string& path, uint64_t max_bytes) {
  const posix::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.is_open()) posix::fail_errno("open", path, errno);
  std::string text;
  size_t length = 0;
  // The size that stat tells is not used: pipes have none, and a file may grow meanwhile.
  for (;;) {
    if (length == text.size()) text.resize(std::max<size_t>(4096, 2 * length));
    const ssize_t got = ::read(fd.get(), text.data() + length, text.size() - length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) posix::fail_errno("read", path, errno);
    if (got == 0) break;
    length += static_cast<size_t>(got);
    if (length > max_bytes)
      fail(fmt::format("{} is longer than the {} bytes that are read of such a file", path,
                       with_commas(static_cast<int64_t>(max_bytes))),
           "check that the path names the file you mean");
  }
  text.resize(length);
  return text;
}

NewFile::NewFile(const std::string& path)
    : path_(path),
      sibling_(std::make_unique<posix::Sibling>(
          posix::create_sibling(posix::Target(path), posix::SiblingKind::kFile))) {}

NewFile::~NewFile() {
  if (sibling_) posix::remove_quietly(sibling_->path);
}

void NewFile::write(Span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  if (bytes.size() >= kBufferBytes) {
    write_all(sibling_->fd.get(), bytes.data(), bytes.size(), path_);
  } else {
    buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
}

void NewFile::flush() {
  write_all(sibling_->fd.get(), buffer_.data(), buffer_.size(), path_);
  buffer_.clear();
}

void NewFile::commit() {
  flush();
  posix::sync_file(sibling_->fd.get(), path_);
  if (std::rename(sibling_->path.c_str(), path_.c_str()) != 0)
    posix::fail_errno("write", path_, errno);
  sibling_.reset();
  posix::sync_folder(posix::Target(path_).folder);
}

void write_file_durably(const std::string& path, Span<const std::byte> bytes) {
  NewFile file(path);
  file.write(bytes);
  file.commit();
}

void write_output(const std::string& path, Span<const std::byte> bytes) {
  namespace fs = std::filesystem;
  std::error_code unknown;
  const fs::file_status status = fs::status(path, unknown);
  if (fs::is_directory(status))
    fail(fmt::format("cannot write {}: it is a folder", path), "name a file");
  if (fs::is_regular_file(status)) return write_file_durably(fs::canonical(path), bytes);
  if (fs::exists(status)) {
    const posix::Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd.is_open()) posix::fail_errno("open", path, errno);
    return write_all(fd.get(), bytes.data(), bytes.size(), path);
  }
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty() && !fs::is_directory(folder, unknown))
    fail(fmt::format("cannot write {}: there is no folder {}", path, folder.string()),
         "make it first, or name a file in another one");
  write_file_durably(path, bytes);
}

}  // namespace fathom
