#include "fathom/io/posix.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>

#include "fathom/base/error.h"
#include "fathom/io/files.h"

namespace fathom::posix {
namespace {

const char* hint_for(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free some space, or choose a folder on another disk";
    case EFBIG:
      return "raise the limit on file sizes (ulimit -f)";
    case EACCES:
    case EPERM:
      return "check who owns the file and its folder, and their permissions";
    case EROFS:
      return "the file system is mounted read-only; choose another folder";
    case ENOENT:
      return "check the path, and that the folder it is in is there";
    case ENOTDIR:
      return "check the path: something above it is a file, not a folder";
    case EISDIR:
      return "name a file";
    case ELOOP:
      return "its symbolic links lead back to themselves: remove one of them";
    case ENAMETOOLONG:
      return "choose a shorter one: a name has at most 255 bytes, a path 4,095";
    case ENOMEM:
      return "end other programs, or work with less at a time";
    case EMFILE:
    case ENFILE:
      return "raise the limit on open files (ulimit -n)";
    case EAGAIN:
      return "the limit on processes and threads is reached (ulimit -u)";
    case EIO:
      return "the disk reports a fault; see the kernel's log";
    default:
      return "";
  }
}

}  // namespace

void fail_errno(const std::string& verb, const std::string& path, int error) {
  throw SystemError(verb, path, error);
}

// Where the links at the end of `path` lead; what they name need not be there.
std::string follow_links(std::string path) {
  constexpr int kMostLinks = 40;  // the kernel's own limit
  const std::string given = path;
  for (int links = 0;; ++links) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    std::string target(PATH_MAX, '\0');
    const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
    if (length < 0) return path;  // no link, or whoever writes there will say it
    if (links == kMostLinks) fail_errno("follow", given, ELOOP);
    target.resize(static_cast<size_t>(length));
    const size_t slash = path.find_last_of('/');
    if (target[0] != '/' && slash != std::string::npos) target.insert(0, path.substr(0, slash + 1));
    path = std::move(target);
  }
}

Target::Target(const std::string& given) {
  const std::string path = follow_links(given);
  const size_t end = path.find_last_not_of('/') + 1;  // 0 if there are only slashes
  const size_t slash = path.find_last_of('/', end == 0 ? 0 : end - 1);
  name = slash == std::string::npos ? path.substr(0, end) : path.substr(slash + 1, end - slash - 1);
  folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  if (end == 0 || name == "." || name == "..")
    fail(fmt::format("cannot write \"{}\": it does not end in a name", given));
}

std::string Target::path() const {
  return folder == "." ? name : folder == "/" ? "/" + name : folder + "/" + name;
}

std::string Target::hidden_name() const {
  constexpr size_t kLongest = 200;  // of the 255 bytes that a name may have
  constexpr size_t kKept = 160;
  if (name.size() <= kLongest) return "." + name;
  return "." + name.substr(0, kKept) + "~" + xxh3_hex(as_bytes(name));
}

// Whether `path` names what `fd` has open.
bool is_still_named(int fd, const std::string& path) {
  struct stat open, there;
  return ::fstat(fd, &open) == 0 && ::lstat(path.c_str(), &there) == 0 &&
         open.st_ino == there.st_ino && open.st_dev == there.st_dev;
}

// Failure to look is no failure: the caller's own creation reports what is wrong with the folder.
void sweep_siblings(const std::string& folder, std::string_view prefix) {
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(folder.c_str()), &::closedir);
  if (!listing) return;
  while (const dirent* entry = ::readdir(listing.get())) {
    if (std::string_view(entry->d_name).substr(0, prefix.size()) != prefix) continue;
    const std::string path = folder + "/" + entry->d_name;
    const Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!fd.is_open() || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) continue;
    // Another sweeper may have been faster, and the name be a living one's by now.
    if (is_still_named(fd.get(), path)) remove_quietly(path);
  }
}

Sibling create_sibling(const Target& target, SiblingKind kind) {
  const bool is_folder = kind == SiblingKind::kFolder;
  const std::string prefix = target.hidden_name() + (is_folder ? kStagingSuffix : ".tmp-");
  sweep_siblings(target.folder, prefix);
  constexpr int kAttempts = 100;
  for (int attempt = 0;; ++attempt) {
    const bool last = attempt == kAttempts;
    std::string path = fmt::format("{}/{}{}", target.folder, prefix, ::getpid());
    if (attempt > 0) path += fmt::format(".{}", attempt);
    if (is_folder && ::mkdir(path.c_str(), 0777) != 0) {
      if (errno == EEXIST && !last) continue;
      fail_errno("create", target.path(), errno);
    }
    const int flags = is_folder ? O_RDONLY | O_DIRECTORY : O_WRONLY | O_CREAT | O_EXCL;
    Fd fd(::open(path.c_str(), flags | O_CLOEXEC, 0666));
    if (!fd.is_open()) {
      if ((errno == EEXIST || (is_folder && errno == ENOENT)) && !last) continue;
      fail_errno("create", target.path(), errno);
    }
    // Between creation and lock another writer may have swept it away, or taken it for his own and
    // put it in its place: take another name. Where locks are not supported nobody sweeps, so that
    // is no error.
    const bool locked = ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    if (locked && is_still_named(fd.get(), path)) return {std::move(path), std::move(fd)};
    if (last) fail_errno("lock", path, EWOULDBLOCK);
  }
}

bool remove_quietly(const std::string& path) noexcept {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return !error;
}

void sync_file(int fd, const std::string& path) {
  if (::fsync(fd) != 0) fail_errno("sync", path, errno);
}

void sync_folder(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.is_open()) fail_errno("open", path, errno);
  // Some network file systems cannot sync a folder and say EINVAL; they write names through.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) fail_errno("sync", path, errno);
}

}  // namespace fathom::posix

namespace fathom {

SystemError::SystemError(const std::string& verb, const std::string& path, int error)
    : Error(
          ErrorKind::kFailure,
          fmt::format("cannot {} {}: {}", verb, path.empty() ? "\"\"" : path, std::strerror(error)),
          posix::hint_for(error)),
      error_(error),
      path_(path) {}

void fail_system(const std::string& verb, const std::string& path, int error) {
  throw SystemError(verb, path, error);
}

PathKind kind_of(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) posix::fail_errno("look at", path, errno);
    return PathKind::kNothing;
  }
  if (S_ISREG(status.st_mode)) return PathKind::kFile;
  return S_ISDIR(status.st_mode) ? PathKind::kFolder : PathKind::kStream;
}

void make_folders(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) posix::fail_errno("create", path, error.value());
}

std::string written_path(const std::string& path) {
  return posix::Target(path).path();
}

}  // namespace fathom
