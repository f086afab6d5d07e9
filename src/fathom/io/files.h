// Files that are whole or absent: reading by mapping, writing beside the target and renaming.
//
// All functions throw Error(kFailure) that names the path and the system's reason. Nothing here is
// shared between threads: one object, one thread. Two writers of the same path do not corrupt it;
// the later rename wins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "fathom/base/span.h"

namespace fathom {

// A regular file in memory, read-only, unmapped when the object dies; spans into it die with it.
// The mapping keeps the file that was opened, even when another takes its name, so replacing a
// mapped file by rename (all writers below do) is safe. Where it is truncated in place or its disk
// fails, bytes() is of no use any more (the process would get SIGBUS), while read() says so.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  Span<const std::byte> bytes() const { return {data_, size_}; }  // empty for an empty file
  // The bytes from `offset` on; thread-safe. For what must survive hours of other people's work on
  // the disk.
  void read(uint64_t offset, Span<std::byte> out) const;

 private:
  std::string path_;
  int fd_ = -1;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// The whole file, which may be a pipe; refused when it is longer than `max_bytes`.
std::string read_text_file(const std::string& path, uint64_t max_bytes);

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

// What a user names as an output. A new or regular file is written as above, where symbolic links
// lead to; a pipe or a device is written to and stays what it is. Refuses a folder, and a path into
// one that is not there.
void write_output(const std::string& path, Span<const std::byte> bytes);

// A folder under construction, by the same rules: fill path(), then commit(). It is created as
// `.<name>.staging-<pid>` beside `final_path`; the parent folder must exist.
class StagedFolder {
 public:
  explicit StagedFolder(const std::string& final_path);
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::string& path() const { return path_; }
  // Syncs everything inside, puts it in the place of `final_path`, syncs the parent, removes the
  // old folder. One system call exchanges the two where the file system knows how. Where it does
  // not, the old folder is set aside first, and folder_to_read() finds it there if the process dies
  // between the two renames. When commit() throws, `final_path` is the old folder, or already the
  // new one if only the last sync failed; it is complete either way.
  void commit();

 private:
  void set_aside_and_rename();

  std::string final_path_;
  std::string path_;
  std::unique_ptr<posix::Sibling> sibling_;  // null after commit()
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
