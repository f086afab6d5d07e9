// Files of tokens, two bytes each, in the three layouts in use:
//
//   nanogpt  raw little-endian uint16, nothing else
//   llmc     256 little-endian int32 (magic 20240520, version 1, token count, zeros), then uint16
//   npy      NumPy 1.0 to 3.0, dtype <u2, one dimension, C order
//
// The layout is told by content, never by the file's name, and a header is never read as tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "fathom/base/span.h"
#include "fathom/io/files.h"

namespace fathom {

enum class ShardFormat { kNanoGpt, kLlmC, kNpy };

std::string shard_format_name(ShardFormat format);  // "nanogpt", "llmc", "npy"

// Ids a shard can hold: [0, 65536).
inline constexpr uint32_t kShardIdLimit = 1u << 16;

// A mapped shard. Movable; reading is const and thread-safe.
class TokenShard {
 public:
  // Maps the file and checks its header against its size. Throws Error for a file that is missing,
  // empty, of odd length, or whose header is damaged or describes anything but uint16 tokens; among
  // those are llm.c's other files. Whether bytes without a header are ids: shard_facts.h.
  explicit TokenShard(const std::string& path);

  const std::string& path() const { return path_; }
  ShardFormat format() const { return format_; }
  uint64_t size() const { return size_; }  // tokens, at least 1

  // Tokens [offset, offset + out.size()) widened into `out`. Throws Error when they are not all in
  // the shard.
  void copy(uint64_t offset, Span<int64_t> out) const;
  // The largest id; reads the whole shard.
  uint16_t max_token() const;
  // Bytes of the file, header included; throws Error when it is shorter meanwhile.
  uint64_t file_size() const { return file_.bytes().size(); }
  void read_bytes(uint64_t offset, void* out, size_t size) const {
    file_.read(offset, {static_cast<std::byte*>(out), size});
  }
  // The whole file, header included: what a checksum covers.
  Span<const std::byte> file_bytes() const { return file_.bytes(); }
  void require_whole() const { file_.require_whole(); }  // throws where file_bytes() was cut short

 private:
  std::string path_;
  MappedFile file_;
  ShardFormat format_ = ShardFormat::kNanoGpt;
  uint64_t start_ = 0;  // bytes before the first token; may be odd in a .npy file
  uint64_t size_ = 0;
};

// Writes a shard as a stream. It lies at `path`.part until finish(), so an interrupted one is never
// taken for a shard; a writer that is destroyed before that removes it.
class ShardWriter {
 public:
  // `path` is replaced if it exists. Formats: llmc and nanogpt.
  ShardWriter(const std::string& path, ShardFormat format);
  ~ShardWriter();
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  // Throws Error for an id of 65536 or more, and when the disk is full.
  void append(Span<const uint32_t> ids);
  uint64_t size() const { return size_; }  // tokens so far
  // Completes the header, syncs the file to disk and gives it its name; nothing may be appended
  // afterwards. Throws Error for a shard without tokens.
  void finish();

 private:
  void write(const void* data, size_t bytes);
  [[noreturn]] void fail_system(const char* action) const;

  std::string path_, part_;
  ShardFormat format_;
  int file_ = -1;
  uint64_t size_ = 0;
};

}  // namespace fathom
