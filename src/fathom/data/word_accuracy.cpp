#include "fathom/data/word_accuracy.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "fathom/data/words.h"

namespace fathom {
namespace {

// Of an alignment of two beginnings: fewer edits are better, then more matches.
struct Best {
  int64_t edits = 0, matches = 0;

  Best with(int64_t edit, int64_t match) const { return {edits + edit, matches + match}; }
  bool operator<(const Best& other) const {
    return edits != other.edits ? edits < other.edits : matches > other.matches;
  }
};

// A newline in its place is white space anyway.
std::string decoded_without_end(const Tokenizer& tokenizer, Span<const uint32_t> ids) {
  const std::optional<uint32_t> end = tokenizer.end_of_text();
  std::vector<uint32_t> kept;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(kept),
               [&](uint32_t id) { return id != end; });
  return tokenizer.decode(kept);
}

}  // namespace

WordScore score_words(std::string_view predicted, std::string_view truth) {
  const std::vector<std::string_view> from = words_of(predicted), to = words_of(truth);
  std::vector<Best> row(to.size() +
                        1);  // entry j: of the predicted words so far and j of the truth
  for (size_t j = 0; j <= to.size(); ++j) row[j] = {static_cast<int64_t>(j), 0};
  for (const std::string_view word : from) {
    Best corner = row[0];  // the entry left above
    row[0] = row[0].with(1, 0);
    for (size_t j = 1; j <= to.size(); ++j) {
      const bool same = word == to[j - 1];
      const Best both = corner.with(same ? 0 : 1, same ? 1 : 0);
      corner = row[j];
      row[j] = std::min({both, row[j].with(1, 0), row[j - 1].with(1, 0)});
    }
  }
  return {row.back().matches, row.back().edits, static_cast<int64_t>(from.size()),
          static_cast<int64_t>(to.size())};
}

WordScore score_words(const Tokenizer& tokenizer, Span<const uint32_t> predicted,
                      Span<const uint32_t> truth) {
  return score_words(decoded_without_end(tokenizer, predicted),
                     decoded_without_end(tokenizer, truth));
}

}  // namespace fathom
