#include "fathom/data/row_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/xxh3_stream.h"

namespace fathom {
namespace {

constexpr size_t kChunk = 1 << 20;
constexpr const char* kMendHint = "copy or prepare the file again";

std::string line_name(const std::string& path, uint64_t row) {
  return fmt::format("{}, line {}", path, row + 1);
}

}  // namespace

RowFile::RowFile(const std::string& path) : path_(path), file_(path), starts_{0} {
  const uint64_t bytes = file_size();
  Xxh3 hash;
  std::vector<std::byte> chunk(std::min<uint64_t>(kChunk, bytes));
  for (uint64_t at = 0; at < bytes; at += chunk.size()) {
    chunk.resize(std::min<uint64_t>(kChunk, bytes - at));
    file_.read(at, {chunk.data(), chunk.size()});
    hash.add(chunk.data(), chunk.size());
    for (size_t i = 0; i < chunk.size();) {
      const void* found = std::memchr(chunk.data() + i, '\n', chunk.size() - i);
      if (found == nullptr) break;
      i = static_cast<size_t>(static_cast<const std::byte*>(found) - chunk.data()) + 1;
      if (at + i == starts_.back() + 1)
        fail(fmt::format("{} is empty", line_name(path_, size())), kMendHint);
      starts_.push_back(at + i);
    }
    if (at + chunk.size() - starts_.back() > kMostRowBytes)
      fail(fmt::format("{} is longer than {} bytes", line_name(path_, size()),
                       with_commas(static_cast<int64_t>(kMostRowBytes))),
           kMendHint);
  }
  if (starts_.back() < bytes) starts_.push_back(bytes);  // a last line without its end
  if (size() == 0) fail(fmt::format("the file of rows {} is empty", path), kMendHint);
  xxh3_ = hash.value();
}

Row RowFile::row(uint64_t i) const {
  if (i >= size()) fail(fmt::format("row {} was asked of {}, which has {}", i, path_, size()));
  // Not from the mapping: training reads for hours, and must not die of a file that shrinks.
  std::string line(starts_[i + 1] - starts_[i], '\0');
  file_.read(starts_[i], {reinterpret_cast<std::byte*>(line.data()), line.size()});
  if (!line.empty() && line.back() == '\n') line.pop_back();
  auto row = read_row(line, {}, line_name(path_, i));
  if (!row) fail(fmt::format("{} is no row of a corpus", line_name(path_, i)), kMendHint);
  return std::move(*row);
}

}  // namespace fathom
