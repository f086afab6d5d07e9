// What the writers of files and folders share; nothing outside io/ includes it. File descriptors,
// errno as a sentence, and the hidden siblings that are renamed into place.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

namespace fathom::posix {

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }  // the caller closes it
  bool is_open() const { return fd_ >= 0; }

 private:
  int fd_;
};

// Throws SystemError.
[[noreturn]] void fail_errno(const std::string& verb, const std::string& path, int error);

// What is to be written for `path`: links at its end are followed, then it is cut at its last
// slash; folder is "." when there is none. Throws when no name is left ("", "/", "..").
struct Target {
  std::string folder;
  std::string name;

  explicit Target(const std::string& path);
  std::string path() const;
  // Hidden, beside it. Of a name that leaves no room for a suffix, the end is shortened.
  std::string sibling(const std::string& suffix) const {
    return folder + "/" + hidden_name() + suffix;
  }
  std::string hidden_name() const;
};

// Which folder stood at a place; the descriptor keeps its inode number from being given to another.
struct Occupant {
  bool is_there = false;
  dev_t device = 0;
  ino_t inode = 0;
  Fd held;
};

enum class SiblingKind { kFile, kFolder };

// A new, empty `.<name>.tmp-<pid>` (file, open for writing) or `.<name>.staging-<pid>` (folder).
// Its descriptor holds an flock for as long as the owner lives. That is how siblings of dead
// processes are told from those of living ones, whose number may be that of another container; the
// dead ones are removed first.
struct Sibling {
  std::string path;
  Fd fd;
};
Sibling create_sibling(const Target& target, SiblingKind kind);

// Removes the siblings in `folder` that begin with `prefix` and whose lock can be had: they have no
// living owner. Never throws: for clean-up.
void sweep_siblings(const std::string& folder, std::string_view prefix);

// What follows `.<name>` in the names of a folder under construction and of one set aside by
// StagedFolder::commit().
inline constexpr char kStagingSuffix[] = ".staging-";
inline constexpr char kAsideSuffix[] = ".previous";

// Removes a file or a whole folder; false if something is left. Never throws: for clean-up.
bool remove_quietly(const std::string& path) noexcept;

void sync_file(int fd, const std::string& path);
void sync_folder(const std::string& path);

}  // namespace fathom::posix
