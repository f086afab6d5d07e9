// The safetensors format of Hugging Face: 8 bytes N (little-endian), N bytes of JSON, the data.
//   {"__metadata__":{"k":"v"}, "name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}, ...}
// Offsets count from the first data byte. Tensors are dense, row-major, little-endian.
//
// A file is taken as hostile and accepted where the reference implementation (Rust, 0.6) accepts
// it: whitespace around the header and unknown fields of a tensor are fine. Refused beyond that is
// what no writer produces: duplicate keys (the format forbids them, the reference takes the last),
// an array in place of a tensor's object, a dimension above 2^63 - 1, more than 64 dimensions, and
// more than a million metadata keys (a small header must not fill the memory). Element types that
// are not in Dtype are refused by name.
//
// Errors are Error(kFailure), one sentence with file, field, value and limit. Memory while reading
// is proportional to the header, which has at most 100 MB; the data is never copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fathom/base/span.h"
#include "fathom/io/files.h"

namespace fathom {

// In the reference's order: writers sort by it, largest first, so that every tensor starts at a
// multiple of its element size.
enum class Dtype { BOOL, U8, I8, I16, U16, F16, BF16, I32, U32, F32, F64, I64, U64 };

std::string_view dtype_name(Dtype dtype);                     // "F32"
uint64_t dtype_size(Dtype dtype);                             // bytes of an element
std::optional<Dtype> dtype_from_name(std::string_view name);  // none: unknown or not supported

struct TensorInfo {
  std::string name;  // valid UTF-8, any characters: never use it as a path
  Dtype dtype = Dtype::F32;
  std::vector<int64_t> shape;  // empty: a single element
  uint64_t offset = 0;         // bytes, from the first data byte
  uint64_t size = 0;           // bytes, always dtype_size x product of shape
};

using TensorMetadata = std::map<std::string, std::string>;

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // in offset order: together they cover the data without gaps
  std::vector<uint32_t> by_name;    // indices of `tensors`, sorted by name
  TensorMetadata metadata;
  uint64_t data_begin = 0;  // bytes, from the start of the file

  const TensorInfo* find(std::string_view name) const;  // null if there is none
};

// Checks a whole file's bytes. `name` stands for it in errors.
SafetensorsHeader parse_safetensors(Span<const std::byte> file, const std::string& name);

// An open file. Pointers and spans from it live as long as it does (moving it keeps them valid).
class SafetensorsFile {
 public:
  static SafetensorsFile open(const std::string& path);

  const std::vector<TensorInfo>& tensors() const { return header_.tensors; }
  const TensorInfo* find(std::string_view name) const { return header_.find(name); }
  const TensorMetadata& metadata() const { return header_.metadata; }
  // `tensor` must be one of this file's. Aligned to its element size in files of this writer and
  // the reference's; a hostile file may start anywhere, so copy with memcpy.
  Span<const std::byte> bytes(const TensorInfo& tensor) const {
    return file_.bytes().subspan(header_.data_begin + tensor.offset, tensor.size);
  }
  // Throws where the file has been cut short since it was opened: call it when the bytes that you
  // want are copied.
  void require_whole() const { file_.require_whole(); }

 private:
  SafetensorsFile(MappedFile file, SafetensorsHeader header)
      : file_(std::move(file)), header_(std::move(header)) {}

  MappedFile file_;
  SafetensorsHeader header_;
};

// A tensor to be written; `bytes` is owned by the caller.
struct TensorView {
  std::string name;
  Dtype dtype = Dtype::F32;
  std::vector<int64_t> shape;
  Span<const std::byte> bytes;
};

// Writes the same bytes as the reference (metadata sorted by key; the reference's order is random),
// without copying the tensors, through NewFile: `path` is complete and synced, or untouched. The
// data starts at a multiple of 8. `tensors` may be in any order and may lie in a mapping of `path`.
void write_safetensors(const std::string& path, const std::vector<TensorView>& tensors,
                       const TensorMetadata& metadata = {});

// A tensor that is made when its turn comes, so that only one of them is in memory.
struct TensorMaker {
  std::string name;
  Dtype dtype = Dtype::F32;
  std::vector<int64_t> shape;
  // Gives its bytes, all at once or piece by piece. Throws Error where it cannot; the file is not
  // written then.
  std::function<void(const std::function<void(Span<const std::byte>)>& give)> make;
};

// The same bytes as above.
void write_made_safetensors(const std::string& path, const std::vector<TensorMaker>& tensors,
                            const TensorMetadata& metadata = {});

// Shared by reader and writer.
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;
inline constexpr size_t kMaxDimensions = 64;
inline constexpr size_t kMaxMetadataKeys = 1'000'000;
// Bytes of a dense tensor; none if a dimension is negative or 64 bits do not hold the bits of it.
std::optional<uint64_t> tensor_bytes(Dtype dtype, const std::vector<int64_t>& shape);
// Offset of the first byte that is not part of well-formed UTF-8, or text.size().
size_t first_invalid_utf8(std::string_view text);

}  // namespace fathom
