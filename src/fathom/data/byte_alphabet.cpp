#include "fathom/data/byte_alphabet.h"

#include "fathom/base/utf8.h"

namespace fathom {

ByteAlphabet::ByteAlphabet() {
  const auto is_printable = [](int b) {
    return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
  };
  uint32_t next = 0x100;
  size_t id = 0;
  for (const bool printable : {true, false})
    for (int b = 0; b < 256; ++b) {
      if (is_printable(b) != printable) continue;
      const uint32_t character = printable ? static_cast<uint32_t>(b) : next++;
      order_[id++] = static_cast<unsigned char>(b);
      byte_of_[character] = static_cast<char>(b);
      utf8_append(symbol_of_[static_cast<size_t>(b)], character);
    }
}

std::optional<std::string> ByteAlphabet::bytes(std::string_view symbol) const {
  std::string out;
  for (size_t i = 0; i < symbol.size();) {
    const size_t length = utf8_length(symbol, i);
    if (length == 0) return {};
    const auto found = byte_of_.find(utf8_decode(symbol, i, length));
    if (found == byte_of_.end()) return {};
    out += found->second;
    i += length;
  }
  return out;
}

std::string ByteAlphabet::symbol(std::string_view bytes) const {
  std::string out;
  for (const char c : bytes) out += symbol_of_[static_cast<unsigned char>(c)];
  return out;
}

}  // namespace fathom
