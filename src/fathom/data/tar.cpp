// tar archives, as POSIX (ustar, pax) and GNU write them: blocks of 512 bytes.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/documents.h"

namespace fathom {
namespace {

constexpr size_t kBlock = 512;
constexpr uint64_t kMaxNameBytes = 1 << 16;
constexpr uint64_t kNotSaid = UINT64_MAX;  // of a size: by the header alone
using Block = std::array<char, kBlock>;

class TarReader {
 public:
  TarReader(ByteStream& bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  bool read(const std::function<bool(const std::string&, std::string)>& member) {
    Block block;
    std::string long_name;
    uint64_t long_size = kNotSaid;
    while (fill(block)) {
      // Two blocks of zeros end an archive; behind them another one may follow.
      if (std::all_of(block.begin(), block.end(), [](char c) { return c == 0; })) continue;
      check_sum(block);
      const char type = block[156];
      uint64_t size = number(block, 124, 12);
      if (type == 'x') {  // pax: the next member's attributes
        require_size(size, kMaxNameBytes, "a header");
        take_attributes(content(size), long_name, long_size);
        continue;
      }
      if (type == 'K' || type == 'g') {  // of a link's target, of all members
        skip(size);
        continue;
      }
      if (long_size != kNotSaid) size = long_size;
      if (type == 'L') {  // GNU's: the next member's name
        require_size(size, kMaxNameBytes, "a name");
        long_name = content(size);
        long_name.resize(std::min(long_name.find('\0'), long_name.size()));
        continue;
      }
      const std::string name = long_name.empty() ? field(block, 0, 100) : long_name;
      long_name.clear();
      long_size = kNotSaid;
      if (type != '0' && type != '\0' && type != '7') {  // folders, links
        skip(size);
        continue;
      }
      require_size(size, kMaxDocumentBytes, quoted_start(name));
      if (!member(name, content(size))) return false;
    }
    return true;
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    fail(fmt::format("{}: {}", name_, why), "the archive is damaged or cut short");
  }
  void require_size(uint64_t size, uint64_t most, const std::string& what) const {
    if (size > most) refuse(fmt::format("{} has {} bytes, at most {} are read", what, size, most));
  }

  // False: the bytes are at their end.
  bool fill(Block& block) {
    for (size_t n = 0; n < kBlock;) {
      const size_t got = bytes_.read(block.data() + n, kBlock - n);
      if (got == 0 && n == 0) return false;
      if (got == 0) refuse("it ends in the middle of a block");
      n += got;
    }
    return true;
  }
  // And the rest of its last block. It grows with what is there: a size may be a lie.
  std::string content(uint64_t size) {
    std::string out;
    Block block;
    for (uint64_t left = size; left > 0;) {
      if (!fill(block)) refuse("it ends in the middle of a file");
      const size_t n = static_cast<size_t>(std::min<uint64_t>(left, kBlock));
      out.append(block.data(), n);
      left -= n;
    }
    return out;
  }
  void skip(uint64_t size) {
    Block block;
    for (uint64_t done = 0; done < size; done += std::min<uint64_t>(kBlock, size - done))
      if (!fill(block)) refuse("it ends in the middle of a file");
  }

  // "30 path=a/name/of/any/length\n", its own length before each.
  void take_attributes(std::string_view text, std::string& name, uint64_t& size) const {
    while (!text.empty() && text.front() != '\0') {
      const char* const end = text.data() + text.size();
      size_t length = 0;
      const auto read = std::from_chars(text.data(), end, length);
      const auto digits = static_cast<size_t>(read.ptr - text.data());
      if (read.ec != std::errc() || length > text.size() || length < digits + 2 ||
          text[digits] != ' ' || text[length - 1] != '\n')
        refuse("a pax header has an attribute that is none");
      const std::string_view record = text.substr(digits + 1, length - digits - 2);
      const std::string_view value = record.substr(std::min(record.find('=') + 1, record.size()));
      if (record.substr(0, 5) == "path=") name = value;
      if (record.substr(0, 5) == "size=") {
        uint64_t number = 0;
        const auto last = std::from_chars(value.data(), value.data() + value.size(), number);
        if (last.ec != std::errc() || last.ptr != value.data() + value.size() || number >> 63 != 0)
          refuse("a pax header has a size that is none");
        size = number;
      }
      text.remove_prefix(length);
    }
  }

  static std::string field(const Block& block, size_t offset, size_t size) {
    const std::string text(block.data() + offset, size);
    return text.substr(0, std::min(text.find('\0'), text.size()));
  }
  // Octal digits between blanks, or from 8 GiB on, with the first bit set, a big-endian number.
  uint64_t number(const Block& block, size_t offset, size_t size) const {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(block[offset + i]); };
    uint64_t value = 0;
    if (byte(0) == 0x80) {
      for (size_t i = 1; i < size; ++i) {
        if (value >> 55 != 0) refuse("a size has more than 63 bits");
        value = value << 8 | byte(i);
      }
      return value;
    }
    for (const char c : field(block, offset, size)) {
      if (c == ' ') continue;
      if (c < '0' || c > '7') refuse("a header has no number where one should be");
      value = value << 3 | static_cast<uint64_t>(c - '0');
    }
    return value;
  }
  void check_sum(const Block& block) const {
    uint64_t sum = 0;
    for (size_t i = 0; i < kBlock; ++i)
      sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(block[i]);
    if (sum != number(block, 148, 8)) refuse("a header's checksum is wrong");
  }

  ByteStream& bytes_;
  const std::string& name_;
};

}  // namespace

bool read_tar(ByteStream& bytes, const std::string& name,
              const std::function<bool(const std::string&, std::string)>& member) {
  return TarReader(bytes, name).read(member);
}

}  // namespace fathom
