// nanoGPT's meta.pkl, which its preparation scripts leave beside train.bin and val.bin: a pickled
// dictionary with `vocab_size`, and of characters `itos`, from ids to characters, and `stoi`.
//
// Pickles are programs. Of their instructions those are followed that make dictionaries of texts
// and whole numbers, as protocols 2 to 5 write them; other plain values are passed over, and
// nothing is ever called. As in nanoGPT's training vocab_size alone is enough.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/tokenizer.h"

namespace fathom {

inline constexpr uint64_t kMaxMetaPickleBytes = 64 << 20;  // a million characters have 30 MB

struct MetaPickle {
  int64_t vocab_size = 0;
  std::vector<std::string> itos;  // by id, as many as vocab_size; empty: ids have no text
  std::string without_text;  // why itos was not taken, part of a sentence; empty: there is none
};

// `name` stands for the file in errors. Throws Error for what is cut short or calls something, has
// no vocab_size from 1 to 2^24, or contradicts itself: more characters than vocab_size, or another
// `stoi` than `itos`. An `itos` of another kind is left out.
MetaPickle read_meta_pickle(std::string_view bytes, const std::string& name);

// The tokenizer over its characters. Null where it has none, or where they are not in the order of
// their code points, one each, as nanoGPT's scripts have them: `itos` is left out then.
std::unique_ptr<Tokenizer> tokenizer_of(MetaPickle& meta);

}  // namespace fathom
