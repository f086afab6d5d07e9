// What is known of a corpus's large shards, kept in its folder, so that they are read through once
// and not whenever the corpus is opened:
//
//   .verified   {"format_version": 1, "shards": [{"file", "size", "inode", "mtime_ns", "ctime_ns",
//                                                 "xxh3", "largest"}, ...]}
//
// An entry holds while the file's size, inode and both times are what they were. The time of change
// (ctime) cannot be set by whoever writes the file.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "fathom/data/shard_facts.h"

namespace fathom {

// Whether a file of that name in a corpus's folder is the record, or was to become it.
bool is_shard_record(std::string_view file);

struct FileStamp {
  uint64_t size = 0, inode = 0;
  int64_t mtime_ns = 0, ctime_ns = 0;
};
inline bool operator==(const FileStamp& a, const FileStamp& b) {
  return a.size == b.size && a.inode == b.inode && a.mtime_ns == b.mtime_ns &&
         a.ctime_ns == b.ctime_ns;
}
std::optional<FileStamp> file_stamp(const std::string& path);  // none: it cannot be looked at

struct OpenedShard {
  TokenShard shard;
  ShardFacts facts;
};

class ShardRecord {
 public:
  struct Rules {
    uint64_t always_read = 16 << 20;     // bytes up to which a shard is read whenever it is opened
    int64_t settled_ns = 2'000'000'000;  // a younger file may change within the clock's tick
  };

  // Reads the folder's record. Whatever it holds instead is as good as none.
  explicit ShardRecord(std::string folder) : ShardRecord(std::move(folder), Rules()) {}
  ShardRecord(std::string folder, Rules rules);

  // Opens `file` of the folder, and reads it through unless it is known. Throws as TokenShard does.
  OpenedShard open(const std::string& file);
  // Writes what has become known, where the folder can be written. Never throws.
  void keep() noexcept;

 private:
  struct Entry {
    FileStamp stamp;
    uint64_t xxh3 = 0;
    uint16_t largest = 0;
  };
  void read(const std::string& path);

  std::string folder_;
  Rules rules_;
  std::map<std::string, Entry> entries_;
  bool has_news_ = false;
};

}  // namespace fathom
