#include "fathom/io/posix.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>

#include "fathom/base/error.h"

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
    case ENOTDIR:
      return "check the path; folders above it are not created";
    case EMFILE:
    case ENFILE:
      return "raise the limit on open files (ulimit -n)";
    case EIO:
      return "the disk reports a fault; see the kernel's log";
    default:
      return "";
  }
}

}  // namespace

void fail_errno(const std::string& verb, const std::string& path, int error) {
  fail(fmt::format("cannot {} {}: {}", verb, path, std::strerror(error)), hint_for(error));
}

Target::Target(const std::string& path) {
  const size_t end = path.find_last_not_of('/') + 1;  // 0 if there are only slashes
  const size_t slash = path.find_last_of('/', end == 0 ? 0 : end - 1);
  name = slash == std::string::npos ? path.substr(0, end) : path.substr(slash + 1, end - slash - 1);
  folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  if (end == 0 || name == "." || name == "..")
    fail(fmt::format("cannot write \"{}\": it does not end in a name", path));
}

// Failure to look is no failure: the caller's own creation reports what is wrong with the folder.
void sweep_siblings(const std::string& folder, std::string_view prefix) {
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(folder.c_str()), &::closedir);
  if (!listing) return;
  while (const dirent* entry = ::readdir(listing.get())) {
    if (std::string_view(entry->d_name).substr(0, prefix.size()) != prefix) continue;
    const std::string path = folder + "/" + entry->d_name;
    const Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (fd.is_open() && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) remove_quietly(path);
  }
}

Sibling create_sibling(const Target& target, SiblingKind kind) {
  const bool is_folder = kind == SiblingKind::kFolder;
  const std::string prefix =
      fmt::format(".{}{}", target.name, is_folder ? kStagingSuffix : ".tmp-");
  sweep_siblings(target.folder, prefix);
  constexpr int kAttempts = 100;
  for (int attempt = 0;; ++attempt) {
    const bool last = attempt == kAttempts;
    std::string path = fmt::format("{}/{}{}", target.folder, prefix, ::getpid());
    if (attempt > 0) path += fmt::format(".{}", attempt);
    if (is_folder && ::mkdir(path.c_str(), 0777) != 0) {
      if (errno == EEXIST && !last) continue;
      fail_errno("create", path, errno);
    }
    const int flags = is_folder ? O_RDONLY | O_DIRECTORY : O_WRONLY | O_CREAT | O_EXCL;
    Fd fd(::open(path.c_str(), flags | O_CLOEXEC, 0666));
    if (!fd.is_open()) {
      if ((errno == EEXIST || (is_folder && errno == ENOENT)) && !last) continue;
      fail_errno("create", path, errno);
    }
    // Between creation and lock another process may have swept it away: take another name. Where
    // locks are not supported nobody sweeps, so that is no error.
    struct stat status;
    const bool swept = (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) ||
                       (::fstat(fd.get(), &status) == 0 && status.st_nlink == 0);
    if (!swept) return {std::move(path), std::move(fd)};
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
