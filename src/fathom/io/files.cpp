#include "fathom/io/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/mapping_guard.h"
#include "fathom/io/posix.h"

namespace fathom {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr size_t kWriteBytes = size_t{1} << 30;  // write() takes a little under 2 GiB at once

// The kernel refuses to read what lies in a mapping beyond its file's new end. This process is told
// in another way, and then says which file it was.
void touch_all(const char* bytes, size_t size) {
  constexpr size_t kStride = 4096;
  const volatile char* touched = bytes;
  for (size_t i = 0; i < size; i += kStride) (void)touched[i];
  (void)touched[size - 1];
  require_whole_mappings();
}

void write_all(int fd, const void* data, size_t size, const std::string& path) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(fd, next, std::min(size, kWriteBytes));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EFAULT) touch_all(next, size);
    if (written <= 0) posix::fail_errno("write", path, written < 0 ? errno : EIO);
    next += written;
    size -= static_cast<size_t>(written);
  }
}

int64_t changed_at(const struct stat& status) {
  return status.st_mtim.tv_sec * int64_t{1'000'000'000} + status.st_mtim.tv_nsec;
}

}  // namespace

void fail_cut_short(const std::string& path) {
  fail(fmt::format("{} was cut short while it was being read", path),
       "let whatever writes it come to its end, then try again");
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a named pipe would wait for its writer.
  posix::Fd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat status;
  if (!fd.is_open() || ::fstat(fd.get(), &status) != 0) posix::fail_errno("open", path, errno);
  if (!S_ISREG(status.st_mode))
    fail(fmt::format("cannot open {}: it is {}, not a regular file", path,
                     S_ISDIR(status.st_mode) ? "a folder" : "a device or a pipe"));
  changed_ns_ = changed_at(status);
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
  guard_ = guard_mapping(data_, size_, path_);
}

MappedFile::~MappedFile() {
  if (guard_) release_mapping(guard_);
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
  if (fd_ >= 0) ::close(fd_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      changed_ns_(other.changed_ns_),
      guard_(std::exchange(other.guard_, nullptr)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(changed_ns_, other.changed_ns_);
  std::swap(guard_, other.guard_);
  return *this;
}

void MappedFile::require_whole() const {
  struct stat status;
  // A cut within a page is not felt: its rest reads as zeros.
  const bool shorter =
      fd_ >= 0 && ::fstat(fd_, &status) == 0 && static_cast<uint64_t>(status.st_size) < size_;
  if (!shorter && (guard_ == nullptr || !was_cut(guard_))) return;
  if (guard_ != nullptr) mark_told(guard_);
  fail_cut_short(path_);
}

bool MappedFile::was_changed() const {
  struct stat status;
  return fd_ >= 0 && ::fstat(fd_, &status) == 0 && changed_at(status) != changed_ns_;
}

void MappedFile::read(uint64_t offset, Span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        ::pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) posix::fail_errno("read", path_, errno);
    if (got == 0) {
      auto end = static_cast<int64_t>(offset + done);
      struct stat status;  // it may end before what was asked for
      if (::fstat(fd_, &status) == 0) end = std::min<int64_t>(end, status.st_size);
      fail(fmt::format("{} ends at byte {}, it had {} when it was opened", path_, with_commas(end),
                       with_commas(static_cast<int64_t>(size_))),
           "something cut it short meanwhile: make it again");
    }
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
    : path_(written_path(path)),
      sibling_(std::make_unique<posix::Sibling>(
          posix::create_sibling(posix::Target(path_), posix::SiblingKind::kFile))) {}

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
  require_whole_mappings();
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
  const PathKind kind = kind_of(path);
  if (kind == PathKind::kFolder)
    fail(fmt::format("cannot write {}: it is a folder", path), "name a file");
  if (kind == PathKind::kStream) {
    const posix::Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd.is_open()) posix::fail_errno("open", path, errno);
    return write_all(fd.get(), bytes.data(), bytes.size(), path);
  }
  const std::string folder = posix::Target(path).folder;
  if (kind_of(folder) == PathKind::kNothing)
    fail(fmt::format("cannot write {}: there is no folder {}", path, folder),
         "make it first, or name a file in another one");
  write_file_durably(path, bytes);
}

}  // namespace fathom
