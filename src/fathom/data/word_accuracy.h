// How many words of an answer are right, by aligning what was predicted with the truth
// (Levenshtein 1966): LMPlay's measure, made unique.
#pragma once

#include <cstdint>
#include <string_view>

#include "fathom/base/span.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

// Sums over answers.
struct WordScore {
  // Words that an alignment with the fewest edits leaves as they are; the most of all such ones.
  int64_t matches = 0;
  int64_t edits = 0;  // insertions, deletions and replacements, one each
  int64_t predicted_words = 0, truth_words = 0;

  double accuracy() const {  // 0 where the truth has no words
    return truth_words > 0 ? static_cast<double>(matches) / static_cast<double>(truth_words) : 0;
  }
  WordScore& operator+=(const WordScore& more) {
    matches += more.matches, edits += more.edits;
    predicted_words += more.predicted_words, truth_words += more.truth_words;
    return *this;
  }
};

// Time goes with the product of the two counts of words, memory with the truth's.
WordScore score_words(std::string_view predicted, std::string_view truth);

// Of tokens: `truth` as it was trained on, cut where the window ended. The token that ends a text
// is no part of a word, in neither.
WordScore score_words(const Tokenizer& tokenizer, Span<const uint32_t> predicted,
                      Span<const uint32_t> truth);

}  // namespace fathom
