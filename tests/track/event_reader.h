// A reader of TensorBoard's event files that shares nothing with the writer: TFRecords, protobuf's
// wire format, and the fields of `Event` that fathom writes.
#pragma once

#include <gmock/gmock.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace fathom::event_file {

inline std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Bit by bit, straight from the polynomial.
inline uint32_t slow_crc32c(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc / 2 ^ 0x82F63B78u : crc / 2;
  }
  return ~crc;
}

inline uint32_t unmasked(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return rotated >> 17 | rotated << 15;
}

template <class T>
T read_as(const std::string& bytes, size_t at) {
  T value{};
  EXPECT_LE(at + sizeof value, bytes.size());
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// Data of the complete records at the start of `file`; `rest` is the number of bytes behind them.
inline std::vector<std::string> records(const std::string& file, size_t* rest = nullptr) {
  std::vector<std::string> out;
  size_t at = 0;
  while (file.size() - at >= 16) {
    const auto length = read_as<uint64_t>(file, at);
    if (slow_crc32c(file.substr(at, 8)) != unmasked(read_as<uint32_t>(file, at + 8))) break;
    if (length > file.size() - at - 16) break;
    const std::string data = file.substr(at + 12, length);
    if (slow_crc32c(data) != unmasked(read_as<uint32_t>(file, at + 12 + length))) break;
    out.push_back(data);
    at += 16 + length;
  }
  if (rest != nullptr) *rest = file.size() - at;
  return out;
}

// The fields of a message in their order; a number's eight bytes, or the bytes of a text or
// message.
struct Field {
  uint64_t number = 0, type = 0, value = 0;
  std::string bytes;
};

inline uint64_t read_varint(const std::string& bytes, size_t& at) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.at(at++));
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) break;
  }
  return value;
}

inline std::vector<Field> fields(const std::string& message) {
  std::vector<Field> out;
  for (size_t at = 0; at < message.size();) {
    Field field;
    const uint64_t key = read_varint(message, at);
    field.number = key / 8;
    field.type = key % 8;
    const size_t width = field.type == 1 ? 8 : field.type == 5 ? 4 : 0;
    EXPECT_THAT(field.type, testing::AnyOf(0u, 1u, 2u, 5u));
    if (field.type == 0) field.value = read_varint(message, at);
    const size_t length = field.type == 2 ? read_varint(message, at) : width;
    field.bytes = message.substr(at, length);
    EXPECT_EQ(field.bytes.size(), length);
    at += length;
    out.push_back(field);
  }
  return out;
}

struct Event {
  double wall_time = 0;
  int64_t step = 0;
  std::string version;
  uint64_t session_status = 0;
  std::vector<std::pair<std::string, float>> values;
};

inline std::pair<std::string, float> parse_value(const std::string& message) {
  std::pair<std::string, float> value;
  for (const Field& field : fields(message)) {
    if (field.number == 1) value.first = field.bytes;
    if (field.number == 2) value.second = read_as<float>(field.bytes, 0);
  }
  return value;
}

inline Event parse_event(const std::string& message) {
  Event event;
  for (const Field& field : fields(message)) {
    if (field.number == 1) event.wall_time = read_as<double>(field.bytes, 0);
    if (field.number == 2) event.step = static_cast<int64_t>(field.value);
    if (field.number == 3) event.version = field.bytes;
    if (field.number == 5)
      for (const Field& value : fields(field.bytes))
        event.values.push_back(parse_value(value.bytes));
    if (field.number == 7) event.session_status = fields(field.bytes).at(0).value;
  }
  return event;
}

inline std::vector<Event> events(const std::string& file) {
  std::vector<Event> out;
  for (const std::string& record : records(file)) out.push_back(parse_event(record));
  return out;
}

inline std::vector<int64_t> steps_with_values(const std::string& file) {
  std::vector<int64_t> steps;
  for (const Event& event : events(file))
    if (!event.values.empty()) steps.push_back(event.step);
  return steps;
}

}  // namespace fathom::event_file
