#include "fathom/io/safetensors.h"

#include <algorithm>
#include <array>
#include <utility>

#include "fathom/base/text.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

struct DtypeFacts {
  std::string_view name;
  uint64_t size;
};
constexpr std::array<DtypeFacts, 13> kDtypes = {{{"BOOL", 1},
                                                 {"U8", 1},
                                                 {"I8", 1},
                                                 {"I16", 2},
                                                 {"U16", 2},
                                                 {"F16", 2},
                                                 {"BF16", 2},
                                                 {"I32", 4},
                                                 {"U32", 4},
                                                 {"F32", 4},
                                                 {"F64", 8},
                                                 {"I64", 8},
                                                 {"U64", 8}}};

}  // namespace

std::string_view dtype_name(Dtype dtype) {
  return kDtypes[static_cast<size_t>(dtype)].name;
}

uint64_t dtype_size(Dtype dtype) {
  return kDtypes[static_cast<size_t>(dtype)].size;
}

std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (size_t i = 0; i < kDtypes.size(); ++i)
    if (kDtypes[i].name == name) return static_cast<Dtype>(i);
  return std::nullopt;
}

std::optional<uint64_t> tensor_bytes(Dtype dtype, const std::vector<int64_t>& shape) {
  uint64_t elements = 1;
  for (const int64_t dim : shape)
    if (dim < 0 || __builtin_mul_overflow(elements, static_cast<uint64_t>(dim), &elements))
      return std::nullopt;
  uint64_t bits = 0;  // bits, as in the reference, so that the same shapes overflow
  if (__builtin_mul_overflow(elements, 8 * dtype_size(dtype), &bits)) return std::nullopt;
  return bits / 8;
}

size_t first_invalid_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const size_t length = static_cast<unsigned char>(text[i]) < 0x80 ? 1 : utf8_length(text, i);
    if (length == 0) break;
    i += length;
  }
  return i;
}

const TensorInfo* SafetensorsHeader::find(std::string_view name) const {
  const auto at = std::lower_bound(
      by_name.begin(), by_name.end(), name,
      [this](uint32_t index, std::string_view wanted) { return tensors[index].name < wanted; });
  return at != by_name.end() && tensors[*at].name == name ? &tensors[*at] : nullptr;
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  MappedFile file(path);
  SafetensorsHeader header =
      file.while_whole([&] { return parse_safetensors(file.bytes(), path); });
  return SafetensorsFile(std::move(file), std::move(header));
}

}  // namespace fathom
