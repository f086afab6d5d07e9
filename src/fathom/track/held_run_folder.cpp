// RunFolder: a run's folder by its descriptor.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/held_path.h"
#include "fathom/track/run_folder.h"

namespace fathom {

namespace fs = std::filesystem;

namespace {

constexpr const char* kLock = ".lock";
constexpr const char* kCheckpoints = "checkpoints";

bool begins(const std::string& name, std::string_view start) {
  return name.compare(0, start.size(), start) == 0;
}

// Names in `folder`, or in a folder below it; nothing where that is none.
std::vector<std::string> names_in(int folder, const char* below = ".") {
  std::vector<std::string> names;
  const int fd = openat(folder, below, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return names;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(fdopendir(fd), &closedir);
  if (!listing) {
    close(fd);
    return names;
  }
  while (const dirent* entry = readdir(listing.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

// What a writer that died in the middle has left is no checkpoint.
bool is_staging(const std::string& name) {
  return begins(name, ".") && name.find(".staging-") != std::string::npos;
}

bool is_checkpoint(const std::string& name) {
  return name == "last" || name == "best" || begins(name, "step-") || begins(name, ".last.") ||
         begins(name, ".best.") || begins(name, ".step-");
}

bool holds_checkpoint(int folder) {
  const std::vector<std::string> names = names_in(folder, kCheckpoints);
  return !std::all_of(names.begin(), names.end(), is_staging);
}

// Whether nobody holds it is another question.
FolderUse use_of(int folder) {
  bool empty = true, run = false, more = false;
  bool checkpoints = false;
  for (const std::string& name : names_in(folder)) {
    if (name == kLock) continue;
    empty = false;
    if (name == kCheckpoints) checkpoints = true;
    if (name == kCheckpoints || name == "config.toml")
      run = true;
    else if (name != "tensorboard" && name != "data.json" && name != "launch.txt" &&
             !begins(name, ".config.toml.") && !begins(name, ".data.json.") &&
             !begins(name, ".launch.txt."))
      more = true;
  }
  if (empty) return FolderUse::kFree;
  if (!run) return FolderUse::kOther;
  const bool left_over = checkpoints && !more && !holds_checkpoint(folder);
  return left_over ? FolderUse::kLeftOver : FolderUse::kRun;
}

bool is_same(const struct stat& a, const struct stat& b) {
  return a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

// A descriptor, or -1 with errno.
int open_folder(const std::string& path) {
  return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

enum class Locked { kYes, kHeld, kUnknown };  // unknown: the file system has no locks

// `file` is the descriptor of a lock file. Who only looks holds it for a moment, hence the
// patience.
Locked lock_file(int file) {
  constexpr int kAttempts = 10;
  for (int i = 0; flock(file, LOCK_EX | LOCK_NB) != 0; ++i) {
    if (errno != EWOULDBLOCK) return Locked::kUnknown;
    if (i == kAttempts) return Locked::kHeld;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return Locked::kYes;
}

[[noreturn]] void fail_create(const std::string& path, int error) {
  fail(fmt::format("cannot create the run's folder {}: {}", path, std::strerror(error)),
       "set FATHOM_RUNS to a folder that you may write to");
}

[[noreturn]] void refuse_held(const std::string& path) {
  misuse(fmt::format("{} is being trained by another process", path),
         "wait for it, stop it, or choose another --run_name");
}

[[noreturn]] void refuse_taken(const std::string& path) {
  misuse(fmt::format("{} already holds a run, which would be overwritten", path),
         "choose another --run_name, or --force to remove what is there");
}

[[noreturn]] void refuse_other(const std::string& path) {
  misuse(fmt::format("{} does not look like a run, so it is not removed", path),
         "a run's folder holds config.toml and checkpoints/; remove this one yourself");
}

// Makes `path` with its parents; true if it was not there. What is there already may be a link.
bool make_folder(const std::string& path) {
  std::error_code error;
  const fs::path parent = fs::path(path).parent_path();
  if (!parent.empty()) fs::create_directories(parent, error);
  if (error) fail_create(path, error.value());
  if (mkdir(path.c_str(), 0777) == 0) return true;
  if (errno != EEXIST) fail_create(path, errno);
  struct stat link = {}, there = {};
  if (stat(path.c_str(), &there) == 0) {
    if (S_ISDIR(there.st_mode)) return false;
    misuse(fmt::format("{} is a file, so no run can be stored there", path),
           "choose another --run_name, or --force to remove what is there");
  }
  const int reason = errno;
  if (lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode))
    misuse(fmt::format("{} is a link that leads to no folder: {}", path, std::strerror(reason)),
           "make the folder that it names, or remove the link");
  return false;  // removed since; the caller tries again
}

}  // namespace

FolderUse folder_use(const std::string& path) {
  const int folder = open_folder(path);
  if (folder < 0) {
    struct stat link = {};
    return lstat(path.c_str(), &link) == 0 ? FolderUse::kOther : FolderUse::kFree;
  }
  const FolderUse use = use_of(folder);
  close(folder);
  return use != FolderUse::kOther && is_held(path) ? FolderUse::kHeld : use;
}

bool is_held(const std::string& folder) {
  const int lock = ::open((folder + "/" + kLock).c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0) return errno != ENOENT && errno != ENOTDIR;
  // Shared, so that two who look do not see one another.
  const bool free = flock(lock, LOCK_SH | LOCK_NB) == 0;
  close(lock);
  return !free;
}

RunFolder::RunFolder(const std::string& name, int folder)
    : name_(name), path_(held_path(folder, name)), folder_(folder) {}

RunFolder::~RunFolder() {
  if (lock_ >= 0) close(lock_);
  if (folder_ >= 0) close(folder_);
}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : name_(std::move(other.name_)),
      path_(std::move(other.path_)),
      folder_(std::exchange(other.folder_, -1)),
      lock_(std::exchange(other.lock_, -1)),
      made_(other.made_),
      claimed_(other.claimed_),
      took_left_over_(other.took_left_over_) {}

RunFolder& RunFolder::operator=(RunFolder&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(path_, other.path_);
  std::swap(folder_, other.folder_);
  std::swap(lock_, other.lock_);
  std::swap(made_, other.made_);
  std::swap(claimed_, other.claimed_);
  std::swap(took_left_over_, other.took_left_over_);
  return *this;
}

std::string RunFolder::run_name() const {
  return fs::path(name_).filename().string();
}

bool RunFolder::is_there() const {
  struct stat held = {}, there = {};
  return fstat(folder_, &held) == 0 && stat(name_.c_str(), &there) == 0 && is_same(held, there);
}

// The folder that `name` leads to, with its lock. An object without a lock: it was replaced or
// removed in between, and the caller tries again.
RunFolder RunFolder::hold(const std::string& name) {
  const int fd = open_folder(name);
  if (fd < 0)
    fail(fmt::format("cannot open {}: {}", name, std::strerror(errno)),
         "the run's folder must be there and yours to write in");
  RunFolder folder(name, fd);
  folder.lock_ = openat(fd, kLock, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (folder.lock_ < 0 && errno == ENOENT) return folder;  // removed
  if (folder.lock_ < 0)
    fail(fmt::format("cannot open {}/{}: {}", name, kLock, std::strerror(errno)),
         "the run's folder must be there and yours to write in");
  // Where the file system knows no locks, there are none.
  if (lock_file(folder.lock_) == Locked::kHeld) refuse_held(name);
  struct stat locked = {}, there = {};
  const bool same = fstat(folder.lock_, &locked) == 0 && fstatat(fd, kLock, &there, 0) == 0 &&
                    is_same(locked, there);
  if (!same || !folder.is_there()) close(std::exchange(folder.lock_, -1));
  return folder;
}

// False: it holds what may not be taken.
bool RunFolder::claim_contents() {
  const FolderUse use = use_of(folder_);
  if (use != FolderUse::kFree && use != FolderUse::kLeftOver) return false;
  if (use == FolderUse::kLeftOver) {
    // Without locks nobody can say that it is not being trained.
    if (lock_file(lock_) != Locked::kYes) return false;
    clear(/*written_too=*/true);
    took_left_over_ = true;
  } else if (mkdirat(folder_, kCheckpoints, 0777) != 0) {
    if (errno == EEXIST) return false;
    fail(fmt::format("cannot create {}/{}: {}", name_, kCheckpoints, std::strerror(errno)),
         "set FATHOM_RUNS to a folder that you may write to");
  }
  claimed_ = true;
  return true;
}

RunFolder RunFolder::claim(const std::string& path) {
  for (;;) {
    const bool made = make_folder(path);
    const FolderUse use = folder_use(path);
    // Before a lock is put into somebody else's folder.
    if (use == FolderUse::kRun || use == FolderUse::kOther) refuse_taken(path);
    RunFolder folder = hold(path);
    if (folder.lock_ < 0) continue;
    if (!folder.claim_contents()) refuse_taken(path);
    folder.made_ = made || folder.took_left_over_;
    return folder;
  }
}

RunFolder RunFolder::claim_free(const std::string& path) {
  for (int i = 1;; ++i) {
    const std::string candidate = i == 1 ? path : fmt::format("{}-{}", path, i);
    if (folder_use(candidate) != FolderUse::kFree) continue;
    try {
      return claim(candidate);
    } catch (const Error& error) {
      // Another process was faster.
      if (error.kind() != ErrorKind::kUsage || folder_use(candidate) == FolderUse::kFree) throw;
    }
  }
}

RunFolder RunFolder::open(const std::string& path) {
  for (;;) {
    RunFolder folder = hold(path);
    if (folder.lock_ >= 0) return folder;
  }
}

RunFolder RunFolder::replace(const std::string& path) {
  for (;;) {
    const FolderUse use = folder_use(path);
    if (use == FolderUse::kFree) return claim(path);
    if (use == FolderUse::kHeld) refuse_held(path);
    if (use == FolderUse::kOther) refuse_other(path);
    RunFolder folder = hold(path);
    if (folder.lock_ >= 0) return folder;
  }
}

void RunFolder::clear(bool written_too) {
  std::error_code error;
  const auto remove = [&](const std::string& name) {
    if (!error) fs::remove_all(path_ + "/" + name, error);
  };
  struct stat checkpoints = {};
  const bool is_link = fstatat(folder_, kCheckpoints, &checkpoints, AT_SYMLINK_NOFOLLOW) == 0 &&
                       S_ISLNK(checkpoints.st_mode);
  for (const std::string& name : names_in(folder_))
    if (name != kLock && name != kCheckpoints) remove(name);
  for (const std::string& inside : names_in(folder_, kCheckpoints))
    if (is_staging(inside) ? written_too : !is_link || is_checkpoint(inside))
      remove(std::string(kCheckpoints) + "/" + inside);
  if (fstatat(folder_, kCheckpoints, &checkpoints, 0) != 0 || !S_ISDIR(checkpoints.st_mode))
    remove(kCheckpoints);
  if (error)
    fail(fmt::format("cannot remove what is in {}: {}", name_, error.message()),
         "check who owns it; choose another --run_name");
  if (mkdirat(folder_, kCheckpoints, 0777) != 0 && errno != EEXIST)
    fail(fmt::format("cannot create {}/{}: {}", name_, kCheckpoints, std::strerror(errno)),
         "set FATHOM_RUNS to a folder that you may write to");
}

void RunFolder::abandon() noexcept {
  if (!std::exchange(claimed_, false) || holds_checkpoint(folder_)) return;
  try {
    std::error_code ignored;
    for (const std::string& name : names_in(folder_))
      if (name != kLock) fs::remove_all(path_ + "/" + name, ignored);
  } catch (const std::exception&) {  // no memory
  }
  const bool there = is_there();
  unlinkat(folder_, kLock, 0);
  // A folder that was there before stays; through a link this fails.
  if (made_ && there) rmdir(name_.c_str());
}

}  // namespace fathom
