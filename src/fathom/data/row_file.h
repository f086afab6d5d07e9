// A file of rows as `fathom prepare` writes them: read_row()'s normal form, one a line.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fathom/data/row.h"
#include "fathom/io/files.h"

namespace fathom {

// Movable; reading is const and thread-safe. Costs eight bytes of memory a row, and what it reads
// is read from the file: one that shrinks meanwhile is an Error.
class RowFile {
 public:
  // Reads the file through: where its lines begin, and its checksum. Throws Error for a file that
  // is missing or has no line, and for a line above kMostRowBytes. The rows themselves are looked
  // at when they are asked for.
  explicit RowFile(const std::string& path);

  const std::string& path() const { return path_; }
  uint64_t size() const { return starts_.size() - 1; }  // rows, at least 1
  uint64_t file_size() const { return file_.bytes().size(); }
  uint64_t xxh3() const { return xxh3_; }  // of the file

  // Throws Error that names file and line where it is no row.
  Row row(uint64_t i) const;

 private:
  std::string path_;
  MappedFile file_;
  std::vector<uint64_t> starts_;  // of the lines, and where the last one ends
  uint64_t xxh3_ = 0;
};

}  // namespace fathom
