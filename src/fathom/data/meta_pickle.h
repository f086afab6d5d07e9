// nanoGPT's meta.pkl, which its preparation scripts leave beside train.bin and val.bin: a pickled
// dictionary with `vocab_size`, and of characters `itos`, from ids to characters, and `stoi`.
//
// Pickles are programs. Of their instructions those are followed that make dictionaries of texts
// and whole numbers, as protocols 2 to 5 write them, and no other: nothing is ever called.
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
  std::vector<std::string> itos;  // by id; empty: the file has no characters
};

// `name` stands for the file in errors. Throws Error for anything else: other instructions, other
// types, ids with gaps, a vocab_size or a `stoi` that contradicts `itos`.
MetaPickle read_meta_pickle(std::string_view bytes, const std::string& name);

// The tokenizer over its characters; null where it has none. Throws Error where they are not in the
// order of their code points, one each, as nanoGPT's scripts have them.
std::unique_ptr<Tokenizer> tokenizer_of(const MetaPickle& meta, const std::string& name);

}  // namespace fathom
