// safetensors files: raw bytes, a header in a sound frame, and what the writer makes of any
// tensors.
#include "fathom/io/safetensors.h"

#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

std::string framed(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof length);
  return file + header + std::string(data_bytes, '\x2a');
}

bool same_tensors(const SafetensorsFile& a, const std::vector<TensorView>& b) {
  if (a.tensors().size() != b.size()) return false;
  for (const TensorView& view : b) {
    const TensorInfo* info = a.find(view.name);
    if (info == nullptr || info->dtype != view.dtype || info->shape != view.shape) return false;
    const Span<const std::byte> bytes = a.bytes(*info);
    if (!std::equal(bytes.begin(), bytes.end(), view.bytes.begin(), view.bytes.end())) return false;
  }
  return true;
}

// A file that was accepted is written again, and the copy holds the same.
void check_accepted(const std::string& bytes, const SafetensorsHeader& header) {
  static const Folder folder;
  std::vector<TensorView> views;
  for (const TensorInfo& tensor : header.tensors) {
    require(tensor.size <= bytes.size() &&
                header.data_begin + tensor.offset <= bytes.size() - tensor.size,
            "a tensor lies in its file");
    require(header.find(tensor.name) == &tensor, "a tensor is found by its name");
    require(first_invalid_utf8(tensor.name) == tensor.name.size(), "a name is UTF-8");
    views.push_back({tensor.name, tensor.dtype, tensor.shape,
                     as_bytes(bytes).subspan(header.data_begin + tensor.offset, tensor.size)});
  }
  write_safetensors(folder.path() + "/copy.safetensors", views, header.metadata);
  const SafetensorsFile copy = SafetensorsFile::open(folder.path() + "/copy.safetensors");
  require(same_tensors(copy, views), "the copy has the same tensors");
  require(copy.metadata() == header.metadata, "the copy has the same metadata");
}

void read(const std::string& bytes) {
  SafetensorsHeader header;
  if (accepts(bytes.size(), [&] { header = parse_safetensors(as_bytes(bytes), "x.safetensors"); }))
    check_accepted(bytes, header);
}

// Names, types and shapes at will: the writer refuses, or writes what reads back.
void write(Input& in) {
  static const Folder folder;
  const std::string path = folder.path() + "/written.safetensors";
  std::vector<TensorView> views;
  static const std::string data(1 << 12, '\x17');
  while (!in.empty() && views.size() < 8) {
    TensorView view;
    view.dtype = static_cast<Dtype>(in.below(13));
    for (size_t n = in.below(4); n > 0; --n) view.shape.push_back(in.number<int8_t>());
    view.name = in.text('\n');
    const auto size = tensor_bytes(view.dtype, view.shape);
    view.bytes = as_bytes(data).subspan(0, std::min<uint64_t>(size.value_or(0), data.size()));
    views.push_back(std::move(view));
  }
  if (accepts(data.size(), [&] { write_safetensors(path, views, {{"format", "pt"}}); }))
    require(same_tensors(SafetensorsFile::open(path), views), "what was written reads back");
}

}  // namespace

FATHOM_FUZZ(in) {
  switch (in.below(3)) {
    case 0:
      return read(in.rest());
    case 1: {
      const size_t data_bytes = in.number<uint16_t>() % 4096;
      return read(framed(grown(in), data_bytes));
    }
    default:
      return write(in);
  }
}

}  // namespace fathom::fuzzing
