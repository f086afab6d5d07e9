// meta.json of a prepared corpus, and the files it names. For corpus.cpp and prepare.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fathom/data/row_file.h"
#include "fathom/data/shard.h"
#include "fathom/data/shard_facts.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

inline constexpr int64_t kMetaVersion = 1;
inline constexpr uint64_t kMetaBytes = 16 << 20;  // a longer meta.json is refused

struct RowSplit {
  RowFile file;
  uint64_t tokens = 0;  // of all its samples, uncut
};

// Either shards or rows.
struct CorpusContents {
  int64_t vocab_size = 0;                // 0: unknown
  std::unique_ptr<Tokenizer> tokenizer;  // null: unknown
  std::string vocabulary_file;           // beside the shards, that both are from; empty: none
  std::string without_text;              // why that one has no tokenizer; empty: nothing to tell
  std::map<std::string, std::vector<TokenShard>> splits;
  std::map<std::string, std::vector<ShardFacts>> facts;  // of the shards, in the same order
  std::map<std::string, RowSplit> rows;
  std::string recorded;  // tokenizer and checksums as meta.json has them; empty without one
};

// `name` is for hints. Reads folder/meta.json, opens the files it names and checks them against
// it: every byte by the checksum, every id of a shard by the vocabulary. Throws Error that names
// the file and the `prepare` line that mends the corpus.
CorpusContents read_corpus_meta(const std::string& folder, const std::string& name);

// "`fathom prepare NAME --force` makes it again"
std::string mend_hint(const std::string& name);

}  // namespace fathom
