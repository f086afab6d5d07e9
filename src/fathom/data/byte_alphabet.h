// The characters that stand for bytes in the files of byte-level vocabularies (Radford et al.
// 2019): printable ones for themselves, the others, in order, for U+0100 and what follows.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace fathom {

class ByteAlphabet {
 public:
  ByteAlphabet();

  // The bytes in the order of their ids in GPT-2's vocabulary.
  const std::array<unsigned char, 256>& order() const { return order_; }
  // "Ġthe" -> " the"; none where a character stands for no byte.
  std::optional<std::string> bytes(std::string_view symbol) const;
  // " the" -> "Ġthe"
  std::string symbol(std::string_view bytes) const;

 private:
  std::array<unsigned char, 256> order_{};
  std::array<std::string, 256> symbol_of_;
  std::map<uint32_t, char> byte_of_;
};

}  // namespace fathom
