#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/io/safetensors.h"

// Tensors go to disk as they lie in memory.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors data is little-endian");

namespace fathom {
namespace {

constexpr size_t kAlignment = 8;

std::string json_string(const std::string& text, const std::string& path) {
  if (first_invalid_utf8(text) != text.size())
    fail(fmt::format("cannot write {}: the name {} is not valid UTF-8", path, quoted_start(text)));
  return json_text(text);
}

// Pointers in the reference's order: element type descending, then name.
std::vector<const TensorMaker*> in_file_order(const std::vector<TensorMaker>& tensors) {
  std::vector<const TensorMaker*> order;
  order.reserve(tensors.size());
  for (const TensorMaker& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const TensorMaker* a, const TensorMaker* b) {
    return a->dtype != b->dtype ? a->dtype > b->dtype : a->name < b->name;
  });
  return order;
}

[[noreturn]] void fail_size(const std::string& path, const TensorMaker& tensor, uint64_t given) {
  fail(fmt::format("cannot write {}: tensor {} has {} bytes, but {} of shape [{}] takes {}", path,
                   quoted_start(tensor.name), given, dtype_name(tensor.dtype),
                   shown_list(tensor.shape), *tensor_bytes(tensor.dtype, tensor.shape)));
}

// What would make a file that the reader refuses.
void check_tensors(const std::vector<TensorMaker>& tensors, const std::string& path) {
  std::vector<std::string_view> names;
  for (const TensorMaker& tensor : tensors) {
    const std::string name = quoted_start(tensor.name);
    const std::string shape = shown_list(tensor.shape);
    if (tensor.name == "__metadata__")
      fail(fmt::format("cannot write {}: no tensor may be called {}", path, name));
    const std::optional<uint64_t> size = tensor_bytes(tensor.dtype, tensor.shape);
    if (!size || tensor.shape.size() > kMaxDimensions)
      fail(fmt::format("cannot write {}: tensor {} has the impossible shape [{}]", path, name,
                       shape));
    names.push_back(tensor.name);
  }
  std::sort(names.begin(), names.end());
  const auto twin = std::adjacent_find(names.begin(), names.end());
  if (twin != names.end())
    fail(fmt::format("cannot write {}: two tensors are called {}", path, quoted_start(*twin)));
}

std::string header_json(const std::vector<const TensorMaker*>& order,
                        const TensorMetadata& metadata, const std::string& path) {
  std::string json = "{";
  const auto out = std::back_inserter(json);
  const auto comma = [&json] { return json.back() == '{' ? "" : ","; };
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata)
      fmt::format_to(out, "{}{}:{}", comma(), json_string(key, path), json_string(value, path));
    json += "}";
  }
  uint64_t offset = 0;
  for (const TensorMaker* tensor : order) {
    const uint64_t size = *tensor_bytes(tensor->dtype, tensor->shape);
    fmt::format_to(out, "{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                   comma(), json_string(tensor->name, path), dtype_name(tensor->dtype),
                   fmt::join(tensor->shape, ","), offset, offset + size);
    offset += size;
  }
  json += "}";
  json.append((kAlignment - json.size() % kAlignment) % kAlignment, ' ');
  if (json.size() > kMaxHeaderBytes)
    fail(fmt::format("cannot write {}: its header takes {} bytes; the format allows {}", path,
                     json.size(), kMaxHeaderBytes),
         "write fewer tensors to a file, or less metadata");
  return json;
}

}  // namespace

void write_made_safetensors(const std::string& path, const std::vector<TensorMaker>& tensors,
                            const TensorMetadata& metadata) {
  check_tensors(tensors, path);
  if (metadata.size() > kMaxMetadataKeys)
    fail(fmt::format("cannot write {}: {} metadata keys; at most {} are allowed", path,
                     metadata.size(), kMaxMetadataKeys));
  const std::vector<const TensorMaker*> order = in_file_order(tensors);
  const std::string json = header_json(order, metadata, path);
  std::string length(8, '\0');
  for (size_t i = 0; i < length.size(); ++i)
    length[i] = static_cast<char>(static_cast<uint64_t>(json.size()) >> (8 * i));

  NewFile file(path);
  file.write(as_bytes(length));
  file.write(as_bytes(json));
  for (const TensorMaker* tensor : order) {
    uint64_t written = 0;
    tensor->make([&](Span<const std::byte> bytes) {
      written += bytes.size();
      file.write(bytes);
    });
    if (written != *tensor_bytes(tensor->dtype, tensor->shape)) fail_size(path, *tensor, written);
  }
  file.commit();
}

void write_safetensors(const std::string& path, const std::vector<TensorView>& tensors,
                       const TensorMetadata& metadata) {
  std::vector<TensorMaker> makers;
  makers.reserve(tensors.size());
  for (const TensorView& tensor : tensors) {
    makers.push_back({tensor.name, tensor.dtype, tensor.shape,
                      [&tensor](const auto& give) { give(tensor.bytes); }});
    // Before anything is written.
    const std::optional<uint64_t> size = tensor_bytes(tensor.dtype, tensor.shape);
    if (size && *size != tensor.bytes.size()) fail_size(path, makers.back(), tensor.bytes.size());
  }
  write_made_safetensors(path, makers, metadata);
}

}  // namespace fathom
