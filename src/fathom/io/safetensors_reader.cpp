// Reads the header by SAX events: a tree would keep the last of duplicate keys silently, and would
// take many times the header's size.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/safetensors.h"

namespace fathom {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr int kMaxNesting = 127;  // the reference's parser gives up at 128
constexpr char kMetadataKey[] = "__metadata__";

using Json = nlohmann::json;

[[noreturn]] void refuse(const std::string& file, const std::string& what,
                         const std::string& hint = "") {
  fail(fmt::format("{}: {}", file, what), hint);
}

class HeaderEvents final : public Json::json_sax_t {
 public:
  HeaderEvents(const std::string& file, SafetensorsHeader& header) : file_(file), header_(header) {}

  bool null() override {
    // The reference reads `"__metadata__": null` as no metadata.
    if (inside_ == Inside::kHeader && name_ == kMetadataKey) return true;
    return scalar("null");
  }
  bool boolean(bool value) override { return scalar(value ? "true" : "false"); }
  bool number_integer(int64_t value) override {
    return scalar(value == 0 ? "-0" : std::to_string(value));
  }
  bool number_float(double, const std::string& text) override { return scalar(clipped(text)); }
  bool binary(Json::binary_t&) override { return scalar("binary"); }
  bool number_unsigned(uint64_t value) override;
  bool string(std::string& value) override;
  bool key(std::string& key) override;
  bool start_object(size_t) override { return begin("an object", true); }
  bool end_object() override { return end(); }
  bool start_array(size_t) override { return begin("an array", false); }
  bool end_array() override { return end(); }
  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    refuse(file_, fmt::format("the header is not valid JSON at its byte {}", position));
  }

 private:
  enum class Inside { kNothing, kHeader, kMetadata, kTensor, kShape, kOffsets, kUnknown };
  enum class FieldName { kDtype, kShape, kOffsets, kUnknown };

  bool begin(const char* given, bool is_object);
  bool end();
  bool scalar(const std::string& given);
  void finish_tensor();
  [[noreturn]] void wrong_type(const std::string& given) const;
  [[noreturn]] void refuse_dtype(const std::string& dtype) const;
  std::string tensor_name() const { return "tensor " + quoted_start(tensor_.name); }
  static std::string clipped(const std::string& text) { return text.substr(0, 40); }

  const std::string& file_;
  SafetensorsHeader& header_;
  Inside inside_ = Inside::kNothing;
  int depth_ = 0;          // open objects and arrays
  int unknown_depth_ = 0;  // depth_ inside the outermost unknown value
  std::string name_;       // the last key of the header or of the metadata
  bool metadata_seen_ = false;
  FieldName field_ = FieldName::kUnknown;  // the last key of a tensor
  TensorInfo tensor_;
  bool dtype_seen_ = false, shape_seen_ = false, offsets_seen_ = false;
  std::vector<uint64_t> offsets_;
};

void HeaderEvents::wrong_type(const std::string& given) const {
  switch (inside_) {
    case Inside::kMetadata:
      refuse(file_, fmt::format("{} key {} is {}, but metadata values must be strings",
                                kMetadataKey, quoted_start(name_), given));
    case Inside::kTensor: {
      const bool is_dtype = field_ == FieldName::kDtype;
      refuse(file_, fmt::format("{}: {} is {}, but must be {}", tensor_name(),
                                is_dtype                      ? "dtype"
                                : field_ == FieldName::kShape ? "shape"
                                                              : "data_offsets",
                                given, is_dtype ? "a string" : "an array of integers"));
    }
    case Inside::kShape:
      refuse(file_,
             fmt::format("{}: shape holds {}, but dimensions are integers from 0 to 2^63 - 1",
                         tensor_name(), given));
    case Inside::kOffsets:
      refuse(file_, fmt::format("{}: data_offsets hold {}, but must be two integers from 0 to "
                                "2^64 - 1",
                                tensor_name(), given));
    default:
      refuse(file_, fmt::format("the value of {} is {}, but must be an object", quoted_start(name_),
                                given));
  }
}

void HeaderEvents::refuse_dtype(const std::string& dtype) const {
  static const std::vector<std::string> kNotSupported = {"F4",      "F6_E2M3",     "F6_E3M2",
                                                         "F8_E5M2", "F8_E4M3",     "F8_E8M0",
                                                         "C64",     "F8_E4M3FNUZ", "F8_E5M2FNUZ"};
  const bool known =
      std::find(kNotSupported.begin(), kNotSupported.end(), dtype) != kNotSupported.end();
  refuse(file_,
         fmt::format("{}: dtype {} is {}", tensor_name(), quoted_start(dtype),
                     known ? "not supported" : "unknown"),
         "allowed: BOOL, U8, I8, I16, U16, F16, BF16, I32, U32, F32, F64, I64, U64");
}

bool HeaderEvents::begin(const char* given, bool is_object) {
  if (++depth_ > kMaxNesting)
    refuse(file_, fmt::format("the header is nested deeper than {} levels", kMaxNesting));
  if (inside_ == Inside::kUnknown) return true;
  if (inside_ == Inside::kNothing && is_object) {
    inside_ = Inside::kHeader;
  } else if (inside_ == Inside::kHeader && is_object && name_ == kMetadataKey) {
    inside_ = Inside::kMetadata;
  } else if (inside_ == Inside::kHeader && is_object) {
    inside_ = Inside::kTensor;
    tensor_ = {};
    tensor_.name = std::move(name_);
    dtype_seen_ = shape_seen_ = offsets_seen_ = false;
    offsets_.clear();
  } else if (inside_ == Inside::kTensor && field_ == FieldName::kUnknown) {
    inside_ = Inside::kUnknown;
    unknown_depth_ = depth_;
  } else if (inside_ == Inside::kTensor && !is_object && field_ == FieldName::kShape) {
    inside_ = Inside::kShape;
  } else if (inside_ == Inside::kTensor && !is_object && field_ == FieldName::kOffsets) {
    inside_ = Inside::kOffsets;
  } else {
    wrong_type(given);
  }
  return true;
}

bool HeaderEvents::end() {
  --depth_;
  switch (inside_) {
    case Inside::kUnknown:
      if (depth_ < unknown_depth_) inside_ = Inside::kTensor;
      break;
    case Inside::kShape:
    case Inside::kOffsets:
      inside_ = Inside::kTensor;
      break;
    case Inside::kTensor:
      finish_tensor();
      [[fallthrough]];
    case Inside::kMetadata:
      inside_ = Inside::kHeader;
      break;
    default:
      inside_ = Inside::kNothing;
  }
  return true;
}

bool HeaderEvents::key(std::string& key) {
  const auto once = [&](bool& seen) {
    if (seen) refuse(file_, fmt::format("{}: {} appears twice", tensor_name(), key));
    seen = true;
  };
  if (inside_ == Inside::kTensor) {
    field_ = key == "dtype"          ? FieldName::kDtype
             : key == "shape"        ? FieldName::kShape
             : key == "data_offsets" ? FieldName::kOffsets
                                     : FieldName::kUnknown;
    if (field_ == FieldName::kDtype) once(dtype_seen_);
    if (field_ == FieldName::kShape) once(shape_seen_);
    if (field_ == FieldName::kOffsets) once(offsets_seen_);
  } else if (inside_ != Inside::kUnknown) {
    name_ = std::move(key);
    if (inside_ == Inside::kHeader && name_ == kMetadataKey) {
      if (metadata_seen_) refuse(file_, fmt::format("{} appears twice", kMetadataKey));
      metadata_seen_ = true;
    }
  }
  return true;
}

bool HeaderEvents::scalar(const std::string& given) {
  const bool skipped =
      inside_ == Inside::kUnknown || (inside_ == Inside::kTensor && field_ == FieldName::kUnknown);
  if (!skipped) wrong_type(given);
  return true;
}

bool HeaderEvents::number_unsigned(uint64_t value) {
  if (inside_ == Inside::kShape) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      wrong_type(std::to_string(value));
    if (tensor_.shape.size() == kMaxDimensions)
      refuse(file_,
             fmt::format("{}: shape has more than {} dimensions", tensor_name(), kMaxDimensions));
    tensor_.shape.push_back(static_cast<int64_t>(value));
  } else if (inside_ == Inside::kOffsets) {
    if (offsets_.size() == 2) wrong_type("more than two numbers");
    offsets_.push_back(value);
  } else {
    return scalar(std::to_string(value));
  }
  return true;
}

bool HeaderEvents::string(std::string& value) {
  if (inside_ == Inside::kMetadata) {
    if (!header_.metadata.emplace(name_, std::move(value)).second)
      refuse(file_, fmt::format("{} key {} appears twice", kMetadataKey, quoted_start(name_)));
    if (header_.metadata.size() > kMaxMetadataKeys)
      refuse(file_, fmt::format("{} has more than {} keys", kMetadataKey, kMaxMetadataKeys));
  } else if (inside_ == Inside::kTensor && field_ == FieldName::kDtype) {
    const std::optional<Dtype> dtype = dtype_from_name(value);
    if (!dtype) refuse_dtype(value);
    tensor_.dtype = *dtype;
  } else {
    return scalar("the string " + quoted_start(value));
  }
  return true;
}

void HeaderEvents::finish_tensor() {
  const char* missing = !dtype_seen_     ? "dtype"
                        : !shape_seen_   ? "shape"
                        : !offsets_seen_ ? "data_offsets"
                                         : nullptr;
  if (missing) refuse(file_, fmt::format("{}: {} is missing", tensor_name(), missing));
  if (offsets_.size() != 2)
    refuse(file_, fmt::format("{}: data_offsets hold {} numbers, but must be two", tensor_name(),
                              offsets_.size()));
  const uint64_t begin = offsets_[0], end = offsets_[1];
  if (end < begin)
    refuse(file_, fmt::format("{}: data_offsets end at byte {}, before their begin at byte {}",
                              tensor_name(), end, begin));
  const std::optional<uint64_t> size = tensor_bytes(tensor_.dtype, tensor_.shape);
  if (!size)
    refuse(file_, fmt::format("{}: the shape [{}] overflows 64 bits", tensor_name(),
                              shown_list(tensor_.shape)));
  if (end - begin != *size)
    refuse(file_, fmt::format("{}: data_offsets span {} bytes, but {} of shape [{}] takes {}",
                              tensor_name(), end - begin, dtype_name(tensor_.dtype),
                              shown_list(tensor_.shape), *size));
  tensor_.offset = begin;
  tensor_.size = *size;
  header_.tensors.push_back(std::move(tensor_));
}

// Fills by_name. Sorting finds duplicates without a hash table that chosen names could slow down.
void index_names(SafetensorsHeader& header, const std::string& file) {
  const std::vector<TensorInfo>& tensors = header.tensors;
  header.by_name.resize(tensors.size());
  std::iota(header.by_name.begin(), header.by_name.end(), 0u);
  std::sort(header.by_name.begin(), header.by_name.end(),
            [&](uint32_t a, uint32_t b) { return tensors[a].name < tensors[b].name; });
  const auto twin = std::adjacent_find(
      header.by_name.begin(), header.by_name.end(),
      [&](uint32_t a, uint32_t b) { return tensors[a].name == tensors[b].name; });
  if (twin != header.by_name.end())
    refuse(file, fmt::format("tensor {} appears twice", quoted_start(tensors[*twin].name)));
}

// Each tensor begins where the one before it ends, and the last ends with the file.
void check_coverage(const SafetensorsHeader& header, uint64_t data_bytes, const std::string& file) {
  uint64_t end = 0;
  for (const TensorInfo& tensor : header.tensors) {
    if (tensor.offset != end)
      refuse(file, fmt::format("tensor {} begins at data byte {}, but must begin at {}, where the "
                               "one before it ends: {} is not allowed",
                               quoted_start(tensor.name), tensor.offset, end,
                               tensor.offset < end ? "overlap" : "a hole"));
    end += tensor.size;  // no overflow: offset + size was a 64-bit number of the header
  }
  if (end != data_bytes)
    refuse(
        file,
        fmt::format("the file holds {} bytes of data, but its header declares {}", data_bytes, end),
        end > data_bytes ? "the file is cut short; copy or download it again" : "");
}

// The header's text, once its length is known to be sane.
std::string_view header_text(Span<const std::byte> file, const std::string& name) {
  if (file.size() < kLengthBytes)
    refuse(name, fmt::format("the file has {} bytes, but a safetensors file has at least {}",
                             file.size(), kLengthBytes));
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= std::to_integer<uint64_t>(file[i]) << (8 * i);
  if (length > kMaxHeaderBytes)
    refuse(name,
           fmt::format("the header's length is given as {} bytes; at most {} are allowed", length,
                       kMaxHeaderBytes),
           "the file is probably not a safetensors file");
  if (length > file.size() - kLengthBytes)
    refuse(name,
           fmt::format("the header's length is given as {} bytes, but only {} follow", length,
                       file.size() - kLengthBytes),
           "the file is cut short; copy or download it again");
  return {reinterpret_cast<const char*>(file.data()) + kLengthBytes, static_cast<size_t>(length)};
}

}  // namespace

SafetensorsHeader parse_safetensors(Span<const std::byte> file, const std::string& name) {
  const std::string_view text = header_text(file, name);
  const size_t invalid = first_invalid_utf8(text);
  if (invalid != text.size())
    refuse(name, fmt::format("the header is not valid UTF-8 at its byte {}", invalid));
  // Two habits of nlohmann's lexer are not the reference's: a NUL ends the text there, and a byte
  // order mark is skipped.
  if (const size_t nul = text.find('\0'); nul != text.npos)
    refuse(name, fmt::format("the header is not valid JSON at its byte {}: it holds a NUL", nul));
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start == text.npos || text[start] != '{')
    refuse(name, "the header is not a JSON object: it does not start with '{'");

  SafetensorsHeader header;
  HeaderEvents events(name, header);
  Json::sax_parse(text.begin(), text.end(), &events);
  const auto place = [](const TensorInfo& t) { return std::tie(t.offset, t.size, t.name); };
  std::sort(header.tensors.begin(), header.tensors.end(),
            [&](const TensorInfo& a, const TensorInfo& b) { return place(a) < place(b); });
  index_names(header, name);
  header.data_begin = kLengthBytes + text.size();
  check_coverage(header, file.size() - header.data_begin, name);
  return header;
}

}  // namespace fathom
