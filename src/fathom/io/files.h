// Files that are whole or absent: reading by mapping, writing beside the target and renaming.
//
// All functions throw Error(kFailure) that names the path and the system's reason. Nothing here is
// shared between threads: one object, one thread. Two writers of the same file do not corrupt it:
// the later rename wins. Of a folder, the later one is refused. Where a path is a symbolic link,
// what it leads to is written, also when that is not there yet; the link stays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "fathom/base/error.h"
#include "fathom/base/span.h"

namespace fathom {

struct GuardedMapping;  // mapping_guard.h

// What the system refused: "cannot open x: Permission denied", with a hint that fits the reason.
// Who adds a hint of his own to other errors lets this one pass: the file is not to blame.
class SystemError : public Error {
 public:
  SystemError(const std::string& verb, const std::string& path, int error);
  int error() const { return error_; }  // an errno value
  const std::string& path() const { return path_; }

 private:
  int error_;
  std::string path_;
};
[[noreturn]] void fail_system(const std::string& verb, const std::string& path, int error);

// What stands at a path, links followed. Nothing: also where a folder above it is missing. Throws
// SystemError when that cannot be known (no permission, a loop of links, a name too long).
enum class PathKind { kNothing, kFile, kFolder, kStream };  // stream: a pipe, a device, a socket
PathKind kind_of(const std::string& path);

// A folder with all those above it; whatever is there already stays. Throws SystemError.
void make_folders(const std::string& path);

// Where writing to `path` writes: its own name, or for a symbolic link, what that leads to.
std::string written_path(const std::string& path);

// A regular file in memory, read-only, unmapped when the object dies; spans into it die with it.
// The mapping keeps the file that was opened, even when another takes its name, so replacing a
// mapped file by rename (all writers below do) is safe. Where it is cut short in place or its disk
// fails, bytes() shows zeros from there on, and require_whole() tells. Whoever makes something of
// bytes() calls that before the result is used; as a net, NewFile and StagedFolder commit nothing
// while a mapping that was cut has not been told of.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  Span<const std::byte> bytes() const { return {data_, size_}; }  // empty for an empty file
  // Throws "X was cut short while it was being read" where it was.
  void require_whole() const;
  // Calls `use`, then require_whole(), also when `use` threw: what is amiss in lost bytes is not
  // what is to be said.
  template <class Use>
  auto while_whole(Use use) const {
    try {
      auto result = use();
      require_whole();
      return result;
    } catch (const Error&) {
      require_whole();
      throw;
    }
  }
  // The file was written to since it was opened; bytes() may be of two versions.
  bool was_changed() const;
  // The bytes from `offset` on; thread-safe. For what must survive hours of other people's work on
  // the disk.
  void read(uint64_t offset, Span<std::byte> out) const;

 private:
  std::string path_;
  int fd_ = -1;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int64_t changed_ns_ = 0;  // when it was last written to, as of the opening
  GuardedMapping* guard_ = nullptr;
};

// Throws what require_whole() would of any mapping of this process, dead ones too, unless it has
// been told of. A program that is about to report success calls it.
void require_whole_mappings();
[[noreturn]] void fail_cut_short(const std::string& path);

// The whole file, which may be a pipe; refused when it is longer than `max_bytes`. What may be a
// pipe and is wanted twice: read_once().
std::string read_text_file(const std::string& path, uint64_t max_bytes);

// The same of a pipe, a device or a socket, to its end. `waiting` is told the bytes that are there,
// several times a second also while nothing comes; `look` is given the beginning of a long one,
// once, 16 MiB. What they throw ends the reading.
std::string read_stream(const std::string& path, uint64_t max_bytes,
                        const std::function<void(uint64_t)>& waiting = {},
                        const std::function<void(std::string_view)>& look = {});

// For what a command line names and more than one reader wants, the program that this one becomes
// included: a stream is read once and remembered, a file is read each time.
std::string read_once(const std::string& path, uint64_t max_bytes);
// Leaves what read_once() remembers to the program that this process becomes by execv(): its
// read_once() knows the same streams.
void hand_over_streams();

inline Span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

namespace posix {
struct Sibling;
}

// A file under construction. It lies beside `path` under a hidden name until commit(), which syncs
// it, renames it over `path` and syncs the folder: a reader finds the old content or all of the
// new, also after a power cut. Without commit() the destructor removes it and `path` is untouched.
// What a killed process left behind is removed by the next NewFile for the same path.
class NewFile {
 public:
  explicit NewFile(const std::string& path);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void write(Span<const std::byte> bytes);
  void commit();

 private:
  void flush();

  std::string path_;
  std::unique_ptr<posix::Sibling> sibling_;  // null after commit()
  std::string buffer_;  // small writes gather here: a header and a million tiny tensors
};

void write_file_durably(const std::string& path, Span<const std::byte> bytes);

// What a user names as an output. A new or regular file is written as above; a pipe or a device is
// written to and stays what it is. Refuses a folder, and a path into one that is not there.
void write_output(const std::string& path, Span<const std::byte> bytes);

namespace posix {
class Fd;
struct Occupant;
}  // namespace posix

// What is at a folder's place at this moment, nothing included. While the object lives, no other
// folder is taken for it.
class SeenFolder {
 public:
  explicit SeenFolder(const std::string& path);
  ~SeenFolder();
  SeenFolder(SeenFolder&& other) noexcept;
  SeenFolder& operator=(SeenFolder&& other) noexcept;

 private:
  friend class StagedFolder;
  std::unique_ptr<posix::Occupant> occupant_;
};

// What StagedFolder::commit() throws when another process was faster.
class FolderReplaced : public Error {
 public:
  explicit FolderReplaced(const std::string& path);
};

// A folder under construction, by the same rules: fill path(), then commit(). It is created as
// `.<name>.staging-<pid>` beside `final_path`; the parent folder must exist.
class StagedFolder {
 public:
  // `seen`: what the caller found there when he decided to write, and all that may be replaced.
  StagedFolder(const std::string& final_path, SeenFolder seen);
  explicit StagedFolder(const std::string& final_path);  // what is there now
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::string& path() const { return path_; }
  // Syncs everything inside, puts it in the place of `final_path`, syncs the parent, removes the
  // old folder. One system call exchanges the two where the file system knows how. Where it does
  // not, the old folder is set aside first, and folder_to_read() finds it there if the process dies
  // between the two renames. When commit() throws, `final_path` is the old folder, or already the
  // new one if only the last sync failed; it is complete either way. Throws FolderReplaced, and
  // leaves all as it is, when something else is at `final_path` than what was seen there.
  void commit();

 private:
  void put_where_nothing_is();
  bool exchange();  // whether the old folder has the staging name now
  void set_aside_and_rename();

  std::string final_path_;
  std::string path_;
  SeenFolder seen_;
  std::unique_ptr<posix::Sibling> sibling_;  // null after commit()
  std::unique_ptr<posix::Fd> old_;           // the folder that commit() replaces, locked
};

// Where a reader finds what was last committed to `final_path`: there, or where a crash inside
// commit() left it. `final_path` itself when there is neither.
std::string folder_to_read(const std::string& final_path);

// XXH3, 64 bits, seed 0; and its 16 lower-case hexadecimal digits.
uint64_t xxh3(Span<const std::byte> bytes);
uint64_t xxh3_file(const std::string& path);
std::string xxh3_hex(uint64_t hash);
std::string xxh3_hex(Span<const std::byte> bytes);

}  // namespace fathom
