// The part of a byte-pair vocabulary that every one has, and that no mutation finds.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "fathom/data/bpe_vocabulary.h"

namespace fathom::fuzzing {

// The 256 bytes in base64, `separator` after each; with ranks: "AA== 0".
inline std::string single_bytes(char separator, bool ranks = false) {
  BpeVocabulary vocabulary;
  for (int b = 0; b < 256; ++b) vocabulary.tokens.emplace_back(1, static_cast<char>(b));
  std::string out, words = to_json(vocabulary).at("tokens");
  words += ' ';
  for (int rank = 0; rank < 256; ++rank) {
    const size_t end = words.find(' ');
    out += words.substr(0, end) + (ranks ? ' ' + std::to_string(rank) : "") + separator;
    words.erase(0, end + 1);
  }
  return out;
}

}  // namespace fathom::fuzzing
