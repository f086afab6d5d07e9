#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/io/files.h"
#include "fathom/io/posix.h"

namespace fathom {
namespace {

bool exists(const std::string& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0;
}

bool is_occupant(const std::string& path, const posix::Occupant& occupant) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0 && status.st_dev == occupant.device &&
         status.st_ino == occupant.inode;
}

// Some file systems know plain renames only.
bool is_unknown_here(int error) {
  return error == EINVAL || error == ENOSYS || error == ENOTSUP;
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

SeenFolder::SeenFolder(const std::string& path) : occupant_(std::make_unique<posix::Occupant>()) {
  const std::string place = written_path(path);
  occupant_->held = posix::Fd(::open(place.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status;
  if (!occupant_->held.is_open() || ::fstat(occupant_->held.get(), &status) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) posix::fail_errno("look at", place, errno);
    return;
  }
  *occupant_ = {true, status.st_dev, status.st_ino, std::move(occupant_->held)};
}
SeenFolder::~SeenFolder() = default;
SeenFolder::SeenFolder(SeenFolder&& other) noexcept = default;
SeenFolder& SeenFolder::operator=(SeenFolder&& other) noexcept = default;

FolderReplaced::FolderReplaced(const std::string& path)
    : Error(ErrorKind::kFailure,
            fmt::format("{} was made by another process meanwhile, and was left as it is", path),
            "look at it; then choose another name, or try again") {}

StagedFolder::StagedFolder(const std::string& final_path)
    : StagedFolder(final_path, SeenFolder(final_path)) {}

StagedFolder::StagedFolder(const std::string& final_path, SeenFolder seen)
    : seen_(std::move(seen)) {
  const posix::Target target(final_path);
  final_path_ = target.path();
  struct stat status;
  if (::stat(final_path_.c_str(), &status) == 0 && !S_ISDIR(status.st_mode))
    fail(fmt::format("cannot write the folder {}: a file of that name is there", final_path_),
         "move the file away, or choose another name");
  // What a crash inside set_aside_and_rename() left: the only copy, or one too many.
  const std::string aside = target.sibling(posix::kAsideSuffix);
  if (exists(final_path_)) {
    posix::remove_quietly(aside);
  } else if (exists(aside)) {
    if (std::rename(aside.c_str(), final_path_.c_str()) != 0)
      posix::fail_errno("restore", final_path_, errno);
    if (!seen_.occupant_->is_there) seen_ = SeenFolder(final_path_);
  }
  sibling_ =
      std::make_unique<posix::Sibling>(posix::create_sibling(target, posix::SiblingKind::kFolder));
  path_ = sibling_->path;
}

StagedFolder::~StagedFolder() {
  if (sibling_) posix::remove_quietly(path_);
}

void StagedFolder::commit() {
  require_whole_mappings();
  sync_tree(path_);
  bool old_is_staged = false;
  if (seen_.occupant_->is_there)
    old_is_staged = exchange();
  else
    put_where_nothing_is();
  sibling_.reset();  // should the next line throw, the old folder stays until the next StagedFolder
  const posix::Target target(final_path_);
  posix::sync_folder(target.folder);
  // Otherwise the staging name is free, and may be another writer's by now: one of this process, or
  // of a container whose process has the same number.
  if (old_is_staged) posix::remove_quietly(path_);
  posix::remove_quietly(target.sibling(posix::kAsideSuffix));
}

// Whoever else does so at the same time: one of the two succeeds.
void StagedFolder::put_where_nothing_is() {
  const char* staged = path_.c_str();
  const char* final_name = final_path_.c_str();
  if (::renameat2(AT_FDCWD, staged, AT_FDCWD, final_name, RENAME_NOREPLACE) == 0) return;
  if (errno == EEXIST) throw FolderReplaced(final_path_);
  if (!is_unknown_here(errno)) posix::fail_errno("write", final_path_, errno);
  // A folder without entries is all that rename() itself replaces.
  if (exists(final_path_)) throw FolderReplaced(final_path_);
  if (std::rename(staged, final_name) == 0) return;
  if (errno == EEXIST || errno == ENOTEMPTY) throw FolderReplaced(final_path_);
  posix::fail_errno("write", final_path_, errno);
}

bool StagedFolder::exchange() {
  const char* staged = path_.c_str();
  const char* final_name = final_path_.c_str();
  // One writer at a time holds the old folder: who waited finds it replaced. From the exchange on
  // it has the staging name, and the lock keeps it from being swept until the parent is synced, in
  // case a power cut undoes the exchange. Where locks are not supported there is none.
  old_ = std::make_unique<posix::Fd>(::open(final_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  while (old_->is_open() && ::flock(old_->get(), LOCK_EX) != 0 && errno == EINTR) {
  }
  if (exists(final_path_) && !is_occupant(final_path_, *seen_.occupant_))
    throw FolderReplaced(final_path_);
  if (::renameat2(AT_FDCWD, staged, AT_FDCWD, final_name, RENAME_EXCHANGE) == 0) {
    if (is_occupant(path_, *seen_.occupant_)) return true;
    if (::renameat2(AT_FDCWD, staged, AT_FDCWD, final_name, RENAME_EXCHANGE) != 0) {
      const int error = errno;
      sibling_.reset();  // what has the staging name now is not ours to remove
      posix::fail_errno("restore", final_path_, error);
    }
    throw FolderReplaced(final_path_);
  }
  if (errno == ENOENT) {  // it has been removed meanwhile
    put_where_nothing_is();
    return false;
  }
  if (!is_unknown_here(errno)) posix::fail_errno("write", final_path_, errno);
  set_aside_and_rename();
  return false;
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
