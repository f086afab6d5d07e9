#include "fathom/data/content_kind.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"
#include "fathom/data/binary_kind.h"

namespace fathom {
namespace {

using std::string_view;
constexpr size_t kLeastTextBytes = 16;  // fewer bytes may be letters by chance
constexpr const char* kFetchPointer = "git lfs pull";
constexpr uint16_t kGpt2Ids = 50304;  // GPT-2's, padded: no more come in its shards

struct File {
  string_view head, tail;
  uint64_t bytes;
  bool binary = false;  // no text, whatever its first bytes say

  unsigned char at(size_t i) const {
    return i < head.size() ? static_cast<unsigned char>(head[i]) : 0;
  }
  bool has(string_view bytes_, size_t offset = 0) const {
    return head.size() >= offset && head.substr(offset, bytes_.size()) == bytes_;
  }
  bool ends_with(string_view end) const {
    return tail.size() >= end.size() && tail.substr(tail.size() - end.size()) == end;
  }
  // Little-endian.
  uint64_t number(size_t offset, size_t width) const {
    uint64_t value = 0;
    for (size_t i = width; i-- > 0;) value = value << 8 | at(offset + i);
    return value;
  }
};

// Those that no text has, in any of the encodings with a byte for a letter.
bool is_control(uint32_t c) {
  return c < 0x07 || (c > 0x0d && c < 0x1a) || (c > 0x1b && c < 0x20);
}
bool has_controls(string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return is_control(static_cast<unsigned char>(c)); });
}

// UTF-8 without control characters; its last character may be cut.
bool is_plain_text(string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    if (length == 0)
      return i > 0 && text.size() - i < 4 && static_cast<unsigned char>(text[i]) >= 0xC0;
    i += length;
  }
  return !has_controls(text);
}

struct Signature {
  string_view magic;
  const char* what;
  const char* remedy;
  size_t offset = 0;
  bool (*fits)(const File&) = nullptr;  // what else must hold
};

bool is_gzip(const File& f) {
  const unsigned char extra = f.at(8), system = f.at(9);
  return f.at(2) == 8 && (f.at(3) & 0xE0) == 0 && (extra == 0 || extra == 2 || extra == 4) &&
         (system < 14 || system == 255);
}
bool is_zip(const File& f) {
  const uint64_t method = f.number(8, 2), name = f.number(26, 2);
  return f.number(4, 2) <= 63 && (method <= 20 || (method >= 93 && method <= 99)) && name > 0 &&
         name < 1024;
}
bool is_jpeg(const File& f) {
  return f.at(3) >= 0xC0 && f.at(3) != 0xFF;
}
bool is_safetensors(const File& f) {
  const uint64_t header = f.number(0, 8);
  return header > 1 && header < 100'000'000 && header <= f.bytes - 8 && f.has("{\"", 8);
}
bool is_pickle(const File& f) {
  if (f.at(1) < 2 || f.at(1) > 5 || !f.ends_with(".")) return false;
  if (f.at(1) < 4) return std::strchr("c](}{X", f.at(2)) != nullptr && f.at(2) != 0;
  return f.at(2) == 0x95 && f.number(3, 8) > 0 && f.number(3, 8) <= f.bytes - 11;
}
bool is_parquet(const File& f) {
  return f.ends_with("PAR1") || (f.binary && f.tail.empty());  // its end has not come yet
}
// For marks that ids or a text may begin with.
bool is_binary(const File& f) {
  return f.binary;
}
bool is_zlib(const File& f) {
  return f.binary && (f.at(0) << 8 | f.at(1)) % 31 == 0 && (f.at(1) & 0x20) == 0;
}
bool is_bmp(const File& f) {
  const uint64_t header = f.number(14, 4);
  return f.number(6, 4) == 0 && header >= 12 && header <= 124 && f.number(10, 4) <= f.bytes;
}
bool is_python_module(const File& f) {
  return f.at(1) >= 0x0c && f.at(1) <= 0x0f && f.number(4, 4) < 4;
}
bool is_mp3_frame(const File& f) {
  return f.binary && (f.at(1) & 0xE6) == 0xE2 && (f.at(2) >> 4) != 15;
}

const std::vector<Signature>& signatures() {
  using namespace std::string_view_literals;
  static const std::vector<Signature> list = {
      {"\x1f\x8b"sv, "a gzip file", "zcat FILE > text", 0, is_gzip},
      {"PK\x03\x04"sv, "a zip archive", "unzip -p FILE > text", 0, is_zip},
      {"PK\x05\x06"sv, "an empty zip archive", ""},
      {"\x28\xb5\x2f\xfd"sv, "a zstd file", "zstdcat FILE > text"},
      {"\xfd"
       "7zXZ\0"sv,
       "an xz file", "xzcat FILE > text"},
      {"1AY&SY"sv, "a bzip2 file", "bzcat FILE > text", 4,
       [](const File& f) { return f.has("BZh"); }},
      {"\x04\x22\x4d\x18"sv, "an lz4 file", "lz4cat FILE > text"},
      {"\x1f\x9d"sv, "a file of compress", "zcat FILE > text", 0, is_binary},
      {"LZIP\1"sv, "an lzip file", "lzip -dc FILE > text"},
      {"\x5d\0\0"sv, "an lzma file", "xz --format=lzma -dc FILE > text", 0, is_binary},
      {"\x78"sv, "zlib's compressed data", "pigz -dc FILE > text", 0, is_zlib},
      {"7z\xbc\xaf\x27\x1c"sv, "a 7z archive", "7z x -so FILE > text"},
      {"Rar!\x1a\x07"sv, "a rar archive", "unrar p -inul FILE > text"},
      {"ustar"sv, "a tar archive", "tar -xOf FILE > text", 257},
      {"!<arch>\n"sv, "an ar archive", "ar p FILE > text"},
      {"07070"sv, "a cpio archive", "cpio -i --to-stdout < FILE > text", 0, is_binary},
      {"\xc7\x71"sv, "a cpio archive", "cpio -i --to-stdout < FILE > text", 0, is_binary},
      {"PAR1"sv, "a Parquet file", "", 0, is_parquet},
      {"ARROW1\0\0"sv, "an Arrow file", ""},
      {"FEA1"sv, "a Feather file", "", 0, is_binary},
      {"ORC"sv, "an ORC file", "", 0, is_binary},
      {"Obj\1"sv, "an Avro file", ""},
      {"\x89HDF\r\n\x1a\n"sv, "an HDF5 file", ""},
      {"SQLite format 3\0"sv, "an SQLite database", ""},
      {"\x89PNG\r\n\x1a\n"sv, "a PNG picture", "", 0,
       [](const File& f) { return f.has("IHDR", 12); }},
      {"\xff\xd8\xff"sv, "a JPEG picture", "", 0, is_jpeg},
      {"BM"sv, "a BMP picture", "", 0, is_bmp},
      {"WEBP"sv, "a WebP picture", "", 8, [](const File& f) { return f.has("RIFF"); }},
      {"II*\0"sv, "a TIFF picture", ""},
      {"MM\0*"sv, "a TIFF picture", ""},
      {"\0\0\1\0"sv, "an icon", "", 0, is_binary},
      {"WAVE"sv, "a WAV sound", "", 8, [](const File& f) { return f.has("RIFF"); }},
      {"ID3"sv, "an MP3 sound", "", 0, [](const File& f) { return f.binary && f.at(3) < 5; }},
      {"\xff"sv, "an MP3 sound", "", 0, is_mp3_frame},
      {"OggS\0"sv, "an Ogg sound or film", ""},
      {"fLaC"sv, "a FLAC sound", "", 0, is_binary},
      {"ftyp"sv, "an MP4 film or sound", "", 4, [](const File& f) { return f.at(0) == 0; }},
      {"AT&TFORM"sv, "a DjVu document", "djvutxt FILE text"},
      {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"sv, "a document of an old Office", ""},
      {"MZ"sv, "a program (EXE)", "", 0, is_binary},
      {"\xca\xfe\xba\xbe"sv, "a Java class", "", 0, is_binary},
      {"\r\n"sv, "a compiled Python module", "", 2, is_python_module},
      {"\0asm\1\0\0\0"sv, "a WebAssembly program", ""},
      {"GIF87a"sv, "a GIF picture", ""},
      {"GIF89a"sv, "a GIF picture", ""},
      {"\x7f"
       "ELF"sv,
       "a program (ELF)", ""},
      {"\x93NUMPY"sv, "a .npy file", ""},
      {"GGUF"sv, "a GGUF file of weights", ""},
      {"{\""sv, "a safetensors file of weights", "", 8, is_safetensors},
      {"\x80"sv, "a Python pickle", "", 0, is_pickle},
      {"\xc8\xd8\x34\x01\x01\0\0\0"sv, "an llm.c shard of token ids", ""},
  };
  return list;
}

std::optional<ContentKind> known_format(const File& f) {
  // It may be made of letters alone.
  if (f.has("%PDF-") && std::isdigit(f.at(5)) && f.at(6) == '.' && std::isdigit(f.at(7)) &&
      (has_controls(f.head) || f.tail.find("startxref") != string_view::npos))
    return ContentKind{"a PDF document", "pdftotext FILE text"};
  if (!has_controls(f.head)) return {};
  for (const Signature& s : signatures())
    if (f.has(s.magic, s.offset) && (s.fits == nullptr || s.fits(f)))
      return ContentKind{s.what, s.remedy};
  return {};
}

// What git has in place of a file that was not fetched.
std::optional<ContentKind> lfs_pointer(string_view head, uint64_t file_bytes) {
  constexpr uint64_t kMostPointerBytes = 1024;  // Git LFS's own bound
  if (head.substr(0, 23) != "version https://git-lfs" || file_bytes >= kMostPointerBytes ||
      head.find("\noid sha256:") == string_view::npos)
    return {};
  return ContentKind{"a pointer of Git LFS, not the file itself", kFetchPointer};
}

// Whether `head` is characters of `width` bytes each, without one that no text has.
bool is_wide_text(string_view head, size_t width, bool big_endian) {
  uint32_t before = 0;  // half a character
  for (size_t i = 0; i + width <= head.size(); i += width) {
    uint32_t c = 0;
    for (size_t k = 0; k < width; ++k)
      c = c << 8 | static_cast<unsigned char>(head[i + (big_endian ? k : width - 1 - k)]);
    const bool high = c >= 0xD800 && c < 0xDC00, low = c >= 0xDC00 && c < 0xE000;
    if (c > 0x10FFFF || is_control(c) || (c & 0xFFFE) == 0xFFFE) return false;
    if ((high || low) && width == 4) return false;
    if (low != (before != 0)) return false;
    before = high ? c : 0;
  }
  return head.size() >= width;
}

// A kind of text that has two or four bytes for a letter.
std::optional<ContentKind> wide_text(string_view head) {
  const auto kind = [](const std::string& name, const std::string& from) {
    return ContentKind{name + " text", fmt::format("iconv -f {} -t UTF-8 FILE > text", from)};
  };
  using namespace std::string_view_literals;
  for (const auto& [mark, big] : {std::pair{"\xff\xfe\0\0"sv, false}, {"\0\0\xfe\xff"sv, true}})
    if (head.substr(0, 4) == mark && is_wide_text(head.substr(4), 4, big))
      return kind("UTF-32", "UTF-32");
  for (const auto& [mark, big] : {std::pair{"\xff\xfe"sv, false}, {"\xfe\xff"sv, true}})
    if (head.substr(0, 2) == mark && is_wide_text(head.substr(2), 2, big))
      return kind("UTF-16", "UTF-16");
  if (head.size() < 8) return {};
  for (const bool big : {false, true})
    if (is_wide_text(head, 4, big)) return kind("UTF-32", big ? "UTF-32BE" : "UTF-32LE");
  for (const bool big : {false, true}) {
    size_t zeros[2] = {0, 0};
    for (size_t i = 0; i < head.size(); ++i) zeros[i % 2] += head[i] == 0;
    const size_t units = head.size() / 2, upper = zeros[big ? 0 : 1], lower = zeros[big ? 1 : 0];
    // Of other alphabets only spaces and ends of lines have a zero, and their upper bytes are
    // control characters, or no UTF-8.
    std::string rest(head);
    rest.erase(std::remove(rest.begin(), rest.end(), '\0'), rest.end());
    const bool other = 200 * upper >= units && !is_plain_text(rest);
    if (lower == 0 && (10 * upper >= 9 * units || other) && is_wide_text(head, 2, big))
      return kind("UTF-16", big ? "UTF-16BE" : "UTF-16LE");
  }
  return {};
}

// Bytes that are ids by themselves: none of them is large, and there are as many zeros anywhere.
bool is_narrow(string_view head) {
  size_t others[4] = {0, 0, 0, 0};  // by place in four bytes
  for (size_t i = 0; i < head.size(); ++i) {
    if (static_cast<unsigned char>(head[i]) >= 0x80) return false;
    others[i % 4] += head[i] != 0;
  }
  return head.size() >= 512 && *std::min_element(others, others + 4) >= head.size() / 16;
}

std::string lower_case(string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

[[noreturn]] void fail_other(const ContentKind& kind, const std::string& path) {
  fail(fmt::format("{} is {}, not a plain text", path, kind.what),
       text_hint(kind, "give a text, in UTF-8 or one byte a letter"));
}

}  // namespace

std::optional<ContentKind> other_than_text(string_view head, string_view tail, uint64_t file_bytes,
                                           string_view sample) {
  if (const auto pointer = lfs_pointer(head, file_bytes)) return pointer;
  const std::string binary = binary_kind(sample.empty() ? head : sample);
  if (const auto format = known_format({head, tail, file_bytes, !binary.empty()})) return format;
  if (const auto text = wide_text(head)) return text;
  if (!binary.empty()) return ContentKind{binary, ""};
  return {};
}

std::optional<ContentKind> other_than_text(string_view text) {
  return other_than_text(text.substr(0, kContentHead),
                         text.substr(text.size() - std::min(text.size(), kContentTail)),
                         text.size(), spread_sample(text));
}

std::optional<ContentKind> other_than_ids(string_view head, string_view tail, uint64_t file_bytes) {
  const File file = {head, tail, file_bytes};
  if (const auto pointer = lfs_pointer(head, file_bytes)) return pointer;
  if (is_plain_text(head) && file_bytes >= kLeastTextBytes) {
    const std::string start = lower_case(head.substr(0, 512));
    const size_t first = start.find_first_not_of(" \t\r\n\xef\xbb\xbf");
    const string_view rest = string_view(start).substr(std::min(first, start.size()));
    if (rest.substr(0, 14) == "<!doctype html" || rest.substr(0, 5) == "<html")
      return ContentKind{"a web page, such as a download's error", ""};
    return ContentKind{"a text", "fathom prepare FILE"};
  }
  if (const auto format = known_format(file)) {
    // Its mark is two bytes. What is compressed has every id.
    uint64_t largest = 0;
    for (size_t i = 10; i + 2 <= head.size(); i += 2)
      largest = std::max(largest, file.number(i, 2));
    if (file.has("\x1f\x8b") && largest < kGpt2Ids) return {};
    return format;
  }
  if (file.has("\xff\xfe") || file.has("\xfe\xff"))
    if (const auto text = wide_text(head)) return text;
  if (is_narrow(head)) return ContentKind{"ids of one byte each", ""};
  return {};
}

void require_text(string_view text, const std::string& path) {
  if (const auto kind = other_than_text(text)) fail_other(*kind, path);
}

void require_text_start(string_view start, const std::string& path) {
  if (const auto kind =
          other_than_text(start.substr(0, kContentHead), {}, start.size(), spread_sample(start)))
    fail_other(*kind, path);
}

std::string text_hint(const ContentKind& kind, const char* otherwise) {
  if (kind.remedy.empty()) return otherwise;
  return fmt::format("`{}` {}", kind.remedy,
                     kind.remedy == kFetchPointer ? "fetches it" : "makes a text of it");
}

string_view byte_order_mark(string_view text) {
  return text.substr(0, 3) == "\xef\xbb\xbf" ? text.substr(0, 3) : string_view();
}

}  // namespace fathom
