// Byte-pair encoding of text: GPT-2's way of cutting it into words, and the merging of their bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/bpe_vocabulary.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

inline constexpr size_t kMaxPieceBytes = 1 << 20;

// The pieces of `text` that tokens never cross, one behind the other and without a gap (Radford et
// al. 2019):
//   's 't 're 've 'm 'll 'd | ?letters | ?digits | ?others | spaces before a space | spaces
// Letters and digits are Unicode's L and N (version 14 with Debian 12's PCRE2). Bytes that are not
// UTF-8 are pieces of their own. A piece ends after kMaxPieceBytes at the latest, before a
// character that does not fit, as if the text ended there.
//
// What follows a piece depends on nothing before it: from the end of any piece on, a text has the
// pieces that it would have by itself.
class PieceReader {
 public:
  explicit PieceReader(std::string_view text);
  ~PieceReader();
  bool next(std::string_view& piece);  // false: the text is at its end

 private:
  struct Match;
  std::string_view rest_;
  std::unique_ptr<Match> match_;
};

void for_each_piece(std::string_view text, const std::function<void(std::string_view)>& visit);

// Throws Error for a vocabulary that does not hold together. `kind` is "gpt2" or "bpe".
std::unique_ptr<Tokenizer> make_bpe_tokenizer(const std::string& kind, BpeVocabulary vocabulary);

// What merging looked at: neither depends on the machine.
struct BpeCost {
  uint64_t places = 0;  // visited, noted or moved
  uint64_t offers = 0;  // of pairs, to be the next one
};

// A vocabulary of `size` tokens for `text`, <|endoftext|> among them: the 256 bytes, then again and
// again the pair that is most frequent in the text's pieces, of equal ones that with the lower ids.
// Fewer where no pair comes twice any more. `progress` may throw. Throws Error(kUsage) unless
// 257 <= size <= 65,536. The time goes with the places that are merged, the memory with the bytes
// of the text's different pieces: about 25 for each. With Specials::kTokens "<|endoftext|>" is none
// of the text: no pair is made of it.
BpeVocabulary train_bpe(std::string_view text, int64_t size,
                        const std::function<void(int64_t done)>& progress = {},
                        Specials specials = Specials::kText, BpeCost* cost = nullptr);

}  // namespace fathom
