#include "fathom/io/checkpoint_manifest.h"

#include <fmt/format.h>

#include <limits>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/files.h"

namespace fathom {
namespace {

constexpr int64_t kFormatVersion = 1;
constexpr size_t kMaxNameBytes = 255;
constexpr size_t kHexDigits = 16;

// The pieces of the text, for writer and reader.
constexpr std::string_view kVersionKey = "{\n  \"format_version\": ";
constexpr std::string_view kFilesKey = ",\n  \"files\": [\n";
constexpr std::string_view kNameKey = "    {\"name\": \"";
constexpr std::string_view kSizeKey = "\", \"size\": ";
constexpr std::string_view kHashKey = ", \"xxh3\": \"";
constexpr std::string_view kFileEnd = "\"}";
constexpr std::string_view kNextFile = ",\n";
constexpr std::string_view kFilesEnd = "\n  ],\n";
constexpr std::string_view kChecksumKey = "  \"checksum\": \"";
constexpr std::string_view kEnd = "\"\n}\n";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f');
}
bool is_name_character(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' ||
         c == '.';
}

class Scanner {
 public:
  Scanner(std::string_view text, const std::string& folder) : rest_(text), folder_(folder) {
    size_ = text.size();
  }

  size_t position() const { return size_ - rest_.size(); }

  bool accept(std::string_view expected) {
    if (rest_.substr(0, expected.size()) != expected) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }
  void require(std::string_view expected) {
    if (!accept(expected)) refuse(in_quotes(expected));
  }
  void require_end() const {
    if (!rest_.empty()) refuse("its end");
  }

  // As JSON writes it: no sign, no leading zero. Fits 63 bits.
  int64_t count() {
    const std::string_view digits = longest(is_digit, rest_.size());
    const bool is_number = !digits.empty() && (digits == "0" || digits[0] != '0');
    int64_t value = 0;
    for (const char c : is_number ? digits : std::string_view()) {
      const int64_t digit = c - '0';
      if (value > (std::numeric_limits<int64_t>::max() - digit) / 10)
        refuse("a number below 2^63", digits);
      value = 10 * value + digit;
    }
    if (!is_number) refuse("a count", digits);
    return value;
  }
  uint64_t hash() {
    const std::string_view digits = longest(is_hex_digit, kHexDigits);
    if (digits.size() != kHexDigits) refuse("16 hexadecimal digits", digits);
    uint64_t value = 0;
    for (const char c : digits)
      value = value << 4 | static_cast<uint64_t>(is_digit(c) ? c - '0' : c - 'a' + 10);
    return value;
  }
  std::string file_name() {
    const std::string_view name = longest(is_name_character, kMaxNameBytes);
    if (!is_plain_file_name(name) || name == kManifestName) refuse("a plain file name", name);
    return std::string(name);
  }

 private:
  template <class Predicate>
  std::string_view longest(Predicate fits, size_t limit) {
    size_t n = 0;
    while (n < rest_.size() && n < limit && fits(rest_[n])) ++n;
    const std::string_view token = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return token;
  }
  // `taken`: what was already read of the thing that is wrong.
  [[noreturn]] void refuse(const std::string& expected, std::string_view taken = "") const {
    refuse_checkpoint(folder_, "damaged",
                      fmt::format("{} has no {} at its byte {}", kManifestName, expected,
                                  position() - taken.size()));
  }

  std::string_view rest_;
  size_t size_;
  const std::string& folder_;
};

ManifestFile read_file(Scanner& in) {
  ManifestFile file;
  in.require(kNameKey);
  file.name = in.file_name();
  in.require(kSizeKey);
  file.size = in.count();
  in.require(kHashKey);
  file.xxh3 = in.hash();
  in.require(kFileEnd);
  return file;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

bool is_plain_file_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes || name[0] == '.') return false;
  for (const char c : name)
    if (!is_name_character(c)) return false;
  return true;
}

std::string manifest_text(const std::vector<ManifestFile>& files) {
  std::string text = fmt::format("{}{}{}", kVersionKey, kFormatVersion, kFilesKey);
  for (size_t i = 0; i < files.size(); ++i)
    text += fmt::format("{}{}{}{}{}{}{}{}", i > 0 ? kNextFile : "", kNameKey, files[i].name,
                        kSizeKey, files[i].size, kHashKey, xxh3_hex(files[i].xxh3), kFileEnd);
  text += kFilesEnd;
  return text + fmt::format("{}{}{}", kChecksumKey, xxh3_hex(as_bytes(text)), kEnd);
}

std::vector<ManifestFile> parse_manifest(Span<const std::byte> bytes, const std::string& folder) {
  if (bytes.size() > kMaxManifestBytes)
    refuse_checkpoint(folder, "damaged",
                      fmt::format("{} is longer than {} bytes", kManifestName, kMaxManifestBytes));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!ends_with(text, "}\n"))
    refuse_checkpoint(folder, "incomplete", fmt::format("{} is cut short", kManifestName));
  Scanner in(text, folder);
  in.require(kVersionKey);
  const int64_t version = in.count();
  if (version != kFormatVersion)
    fail(fmt::format("{} cannot be used: {} has format_version {}, this program reads {}", folder,
                     kManifestName, version, kFormatVersion),
         "take another checkpoint of the run, or the version of fathom that wrote it");
  in.require(kFilesKey);
  std::vector<ManifestFile> files;
  do {
    if (files.size() == kMaxManifestFiles)
      refuse_checkpoint(
          folder, "damaged",
          fmt::format("{} lists more than {} files", kManifestName, kMaxManifestFiles));
    files.push_back(read_file(in));
    if (files.size() > 1 && files[files.size() - 2].name >= files.back().name)
      refuse_checkpoint(
          folder, "damaged",
          fmt::format("{} lists {} out of order or twice", kManifestName, files.back().name));
  } while (in.accept(kNextFile));
  in.require(kFilesEnd);
  const uint64_t actual = xxh3(bytes.subspan(0, in.position()));
  in.require(kChecksumKey);
  const uint64_t recorded = in.hash();
  in.require(kEnd);
  in.require_end();
  if (recorded != actual)
    refuse_checkpoint(folder, "damaged",
                      fmt::format("the checksum of {} is not the recorded one", kManifestName));
  return files;
}

void refuse_checkpoint(const std::string& folder, std::string_view verdict,
                       const std::string& why) {
  fail(fmt::format("{} is {}: {}", folder, verdict, why),
       "take another checkpoint of the run: last, best or a numbered one");
}

}  // namespace fathom
