// GPT-2's vocabulary, which is nobody's to ship: it is kept below data/tokenizers/ once it was read
// from a file or downloaded.
#pragma once

#include <optional>
#include <string>

#include "fathom/data/bpe_vocabulary.h"
#include "fathom/data/download.h"

namespace fathom {

// `file`: as read_bpe_vocabulary() takes it; empty: the kept one, or else the one that `download`
// brings (its url may be empty for OpenAI's; its checksum is known). Throws Error that says how to
// get it offline.
BpeVocabulary load_gpt2_vocabulary(const std::string& file, DownloadOptions download);

// The kept one; none: there is none. Throws Error for one that is damaged.
std::optional<BpeVocabulary> kept_gpt2_vocabulary();

// Whether it is GPT-2's, token by token.
bool is_gpt2_vocabulary(const BpeVocabulary& vocabulary);

}  // namespace fathom
