// The two tokens that each token of a byte-pair vocabulary is made of. Others write vocabularies as
// such a list; ours follows from the order of the ids.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "fathom/data/bpe_vocabulary.h"

namespace fathom {

struct Merge {
  uint32_t made = 0, left = 0, right = 0;  // ids
};
inline bool operator==(const Merge& a, const Merge& b) {
  return a.made == b.made && a.left == b.left && a.right == b.right;
}

// One for each token of several bytes, by id: what its bytes come to by the tokens before it. Then
// merging by this list, the earliest pair first, and by BpeVocabulary's rule give the same tokens
// of any text. Throws Error for a token whose bytes come to one or to more than two.
std::vector<Merge> merges_of(const BpeVocabulary& vocabulary);

}  // namespace fathom
