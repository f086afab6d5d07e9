#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "fathom/base/error.h"
#include "fathom/io/files.h"
#include "fathom/io/posix.h"

namespace fathom {
namespace {

bool exists(const std::string& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0;
}

// Contents before the folder that lists them. Links are entries of their folder and need nothing.
void sync_tree(const std::string& folder) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string path = it->path().string();
    const auto type = it->symlink_status().type();
    if (type == std::filesystem::file_type::directory) sync_tree(path);
    if (type != std::filesystem::file_type::regular) continue;
    const posix::Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.is_open()) posix::fail_errno("open", path, errno);
    posix::sync_file(fd.get(), path);
  }
  if (error) posix::fail_errno("list", folder, error.value());
  posix::sync_folder(folder);
}

}  // namespace

StagedFolder::StagedFolder(const std::string& final_path) {
  const posix::Target target(final_path);
  final_path_ = target.path();
  struct stat status;
  if (::stat(final_path_.c_str(), &status) == 0 && !S_ISDIR(status.st_mode))
    fail(fmt::format("cannot write the folder {}: a file of that name is there", final_path),
         "move the file away, or choose another name");
  // What a crash inside set_aside_and_rename() left: the only copy, or one too many.
  const std::string aside = target.sibling(posix::kAsideSuffix);
  if (exists(final_path_)) {
    posix::remove_quietly(aside);
  } else if (exists(aside) && std::rename(aside.c_str(), final_path_.c_str()) != 0) {
    posix::fail_errno("restore", final_path_, errno);
  }
  sibling_ =
      std::make_unique<posix::Sibling>(posix::create_sibling(target, posix::SiblingKind::kFolder));
  path_ = sibling_->path;
}

StagedFolder::~StagedFolder() {
  if (sibling_) posix::remove_quietly(path_);
}

void StagedFolder::commit() {
  sync_tree(path_);
  const char* staged = path_.c_str();
  const char* final_name = final_path_.c_str();
  // From the exchange on the old folder has the staging name: hold it against sweeping until the
  // parent is synced, in case a power cut undoes the exchange.
  const posix::Fd old(::open(final_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (old.is_open()) ::flock(old.get(), LOCK_EX | LOCK_NB);
  if (::renameat2(AT_FDCWD, staged, AT_FDCWD, final_name, RENAME_EXCHANGE) != 0) {
    if (errno == ENOENT) {  // nothing to exchange with
      if (std::rename(staged, final_name) != 0) posix::fail_errno("write", final_path_, errno);
    } else if (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP) {
      set_aside_and_rename();
    } else {
      posix::fail_errno("write", final_path_, errno);
    }
  }
  sibling_.reset();  // should the next line throw, the old folder stays until the next StagedFolder
  const posix::Target target(final_path_);
  posix::sync_folder(target.folder);
  posix::remove_quietly(path_);
  posix::remove_quietly(target.sibling(posix::kAsideSuffix));
}

void StagedFolder::set_aside_and_rename() {
  const std::string aside = posix::Target(final_path_).sibling(posix::kAsideSuffix);
  if (std::rename(final_path_.c_str(), aside.c_str()) != 0 && errno != ENOENT)
    posix::fail_errno("set aside", final_path_, errno);
  if (std::rename(path_.c_str(), final_path_.c_str()) == 0) return;
  const int error = errno;
  std::rename(aside.c_str(), final_path_.c_str());  // if this fails too, folder_to_read() finds it
  posix::fail_errno("write", final_path_, error);
}

std::string folder_to_read(const std::string& final_path) {
  const std::string aside = posix::Target(final_path).sibling(posix::kAsideSuffix);
  return !exists(final_path) && exists(aside) ? aside : final_path;
}

}  // namespace fathom
