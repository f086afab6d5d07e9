#include "fathom/track/tensorboard.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"

namespace fathom {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.";
constexpr size_t kSecondsDigits = 10;  // until 2286; fewer are padded, for names are compared

// Field numbers of tensorflow/core/util/event.proto and framework/summary.proto.
constexpr int kEventWallTime = 1, kEventStep = 2, kEventFileVersion = 3, kEventSummary = 5,
              kEventSessionLog = 7;
constexpr int kSessionLogStatus = 1, kSessionStart = 1;
constexpr int kSummaryValue = 1, kValueTag = 1, kValueSimple = 2;

enum WireType { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_key(std::string& out, int field, WireType type) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | type);
}

template <class T>
void put_little_endian(std::string& out, T value) {
  for (size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
}

void put_integer(std::string& out, int field, int64_t value) {
  if (value == 0) return;  // what a reader takes a missing field for
  put_key(out, field, kVarint);
  put_varint(out, static_cast<uint64_t>(value));
}

void put_double(std::string& out, int field, double value) {
  uint64_t bits = 0;
  static_assert(sizeof bits == sizeof value);
  std::memcpy(&bits, &value, sizeof bits);
  put_key(out, field, kFixed64);
  put_little_endian(out, bits);
}

void put_float(std::string& out, int field, float value) {
  uint32_t bits = 0;
  static_assert(sizeof bits == sizeof value);
  std::memcpy(&bits, &value, sizeof bits);
  put_key(out, field, kFixed32);
  put_little_endian(out, bits);
}

void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_key(out, field, kLengthDelimited);
  put_varint(out, bytes.size());
  out += bytes;
}

// Bytes that are not UTF-8 as U+FFFD: protobuf's readers would refuse the whole record.
std::string as_utf8(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    if (length == 0)
      utf8_append(out, 0xFFFD);
    else
      out += text.substr(i, length);
    i += std::max<size_t>(length, 1);
  }
  return out;
}

std::string encode_event(double wall_time, int64_t step, int field, std::string_view what) {
  std::string event;
  put_double(event, kEventWallTime, wall_time);
  put_integer(event, kEventStep, step);
  put_bytes(event, field, what);
  return event;
}

// A CRC of bytes that hold a CRC is no good, so stored ones are changed (TFRecord's definition).
uint32_t masked_crc32c(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

std::string encode_record(std::string_view data) {
  std::string record;
  put_little_endian(record, uint64_t{data.size()});
  put_little_endian(record, masked_crc32c(record));
  record += data;
  put_little_endian(record, masked_crc32c(data));
  return record;
}

std::string host_name() {
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

// The seconds in the name of an event file, 0 of another file.
int64_t seconds_of(const std::string& name) {
  if (name.compare(0, kPrefix.size(), kPrefix) != 0) return 0;
  const std::string digits = name.substr(kPrefix.size(), kSecondsDigits);
  const bool whole = digits.find_first_not_of("0123456789") == std::string::npos;
  return whole && !digits.empty() ? std::stoll(digits) : 0;
}

// Of the newest event file in `folder`; 0 if it has none.
int64_t newest_seconds(const std::string& folder) {
  int64_t seconds = 0;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    seconds = std::max(seconds, seconds_of(it->path().filename().string()));
  return seconds;
}

[[noreturn]] void fail_errno(const char* verb, const std::string& path, int error) {
  fail(fmt::format("cannot {} {}: {}", verb, path, std::strerror(error)),
       error == ENOSPC || error == EDQUOT ? "free some space there; what was written is still sound"
                                          : "this is the run's copy for TensorBoard; its folder "
                                            "must be one that you may write to");
}

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0u);
    table[byte] = crc;
  }
  return table;
}

}  // namespace

double wall_clock() {
  using std::chrono::system_clock;
  return std::chrono::duration<double>(system_clock::now().time_since_epoch()).count();
}

uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = make_crc_table();
  uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes) crc = crc >> 8 ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~crc;
}

struct TensorBoardWriter::File {
  std::string path;
  int fd = -1;
  int64_t size = 0;  // of all complete records

  File(const std::string& folder, int64_t seconds) {
    const std::string host = host_name();
    for (;; ++seconds) {
      path = (fs::path(folder) /
              fmt::format("{}{:0{}}.{}.{}", kPrefix, seconds, kSecondsDigits, host, getpid()))
                 .string();
      fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (fd >= 0) return;
      if (errno != EEXIST) fail_errno("create", path, errno);
    }
  }
  ~File() { ::close(fd); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void append(std::string_view data) {
    const std::string record = encode_record(data);
    for (size_t done = 0; done < record.size();) {
      const ssize_t written = ::pwrite(fd, record.data() + done, record.size() - done,
                                       size + static_cast<int64_t>(done));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) give_up(written < 0 ? errno : EIO);
      done += static_cast<size_t>(written);
    }
    size += static_cast<int64_t>(record.size());
  }

  // Half a record would hide every one behind it.
  [[noreturn]] void give_up(int error) const {
    if (::ftruncate(fd, size) != 0) {
      // Then it stays until the next record is written over it.
    }
    fail_errno("write", path, error);
  }
};

TensorBoardWriter::TensorBoardWriter(const std::string& folder, std::optional<int64_t> first_step,
                                     double wall_time) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail_errno("create the folder", folder, error.value());
  const int64_t newest = newest_seconds(folder);
  // Within a second of the newest file, or after the clock was set back, the new one still must
  // come last.
  const auto seconds = static_cast<int64_t>(std::min(std::max(0.0, wall_time), 9'999'999'999.0));
  file_ = std::make_unique<File>(folder, std::max(seconds, newest + 1));
  file_->append(encode_event(wall_time, 0, kEventFileVersion, "brain.Event:2"));
  if (!first_step && newest == 0) return;
  std::string start;
  put_integer(start, kSessionLogStatus, kSessionStart);
  file_->append(encode_event(wall_time, first_step.value_or(0), kEventSessionLog, start));
}

TensorBoardWriter::~TensorBoardWriter() = default;
TensorBoardWriter::TensorBoardWriter(TensorBoardWriter&&) noexcept = default;
TensorBoardWriter& TensorBoardWriter::operator=(TensorBoardWriter&&) noexcept = default;

void TensorBoardWriter::add(int64_t step, Span<const MetricValue> values, double wall_time) {
  if (values.empty()) return;
  std::string summary;
  for (const MetricValue& metric : values) {
    std::string value;
    put_bytes(value, kValueTag, as_utf8(metric.name));
    put_float(value, kValueSimple, static_cast<float>(metric.value));
    put_bytes(summary, kSummaryValue, value);
  }
  file_->append(encode_event(wall_time, step, kEventSummary, summary));
}

bool TensorBoardWriter::is_there() const {
  struct stat held = {}, there = {};
  return ::fstat(file_->fd, &held) == 0 && ::stat(file_->path.c_str(), &there) == 0 &&
         held.st_ino == there.st_ino && held.st_dev == there.st_dev;
}

const std::string& TensorBoardWriter::path() const {
  return file_->path;
}

}  // namespace fathom
