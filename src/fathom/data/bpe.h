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

// Calls `visit` with the pieces of `text` that tokens never cross, one behind the other and without
// a gap (Radford et al. 2019):
//   's 't 're 've 'm 'll 'd | ?letters | ?digits | ?others | spaces before a space | spaces
// Letters and digits are Unicode's L and N (version 14 with Debian 12's PCRE2). Bytes that are not
// UTF-8 are pieces of their own.
void for_each_piece(std::string_view text, const std::function<void(std::string_view)>& visit);

// Throws Error for a vocabulary that does not hold together. `kind` is "gpt2" or "bpe".
std::unique_ptr<Tokenizer> make_bpe_tokenizer(const std::string& kind, BpeVocabulary vocabulary);

// A vocabulary of `size` tokens for `text`, <|endoftext|> among them: the 256 bytes, then again and
// again the pair that is most frequent in the text's pieces, of equal ones that with the lower ids.
// Fewer where no pair comes twice any more. `progress` may throw. Throws Error(kUsage) unless
// 257 <= size <= 65,536.
BpeVocabulary train_bpe(std::string_view text, int64_t size,
                        const std::function<void(int64_t done)>& progress = {});

}  // namespace fathom
