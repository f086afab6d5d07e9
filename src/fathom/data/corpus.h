// A prepared corpus: a folder of token shards and a meta.json that says what they are.
//
//   data/shakespeare_char/{train.bin, val.bin, meta.json}
//
// meta.json, format_version 1:
//   name, source       what it was called when it was made, and where the text came from
//   command            the `fathom prepare` line that makes it again
//   recipe             everything that decides the shards' content, to tell "the same" from "other"
//   tokenizer          what Tokenizer::from_json reads; vocab_size repeats its size
//   splits             {"train": [{file, tokens, bytes, xxh3}, ...], "val": [...]}
//   shard_format, created_by
//
// Folders made elsewhere open too: every .bin or .npy file whose name contains "train" or "val"
// belongs to that split, in order of name (train.bin; edufineweb_train_000001.npy). Their tokenizer
// is unknown: tokenizer() is null and vocab_size() is 0.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fathom/data/shard.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

std::string data_root();  // $FATHOM_DATA, else "data"
std::vector<std::string>
prepared_corpora();  // folders under data_root() with a meta.json or shards

// A handle: copies are cheap and share the mapped files. Reading is thread-safe.
class Corpus {
 public:
  // The name of a folder in data_root(), or else the path of any folder (or path_to_text() of
  // one, which a saved configuration has). Checks
  // every shard's size against meta.json, and the XXH3 of files up to 256 MiB. Throws Error with
  // the `prepare` line to type when the corpus is unknown, or a shard is missing, truncated or
  // corrupt.
  static Corpus open(const std::string& given);

  const std::string& name() const;  // of the folder
  const std::string& path() const;
  int64_t vocab_size() const;  // 0: unknown
  // For a corpus that does not say: ids from here on are refused by whoever reads it.
  void assume_vocab_size(int64_t size) { assumed_vocab_size_ = size; }
  const Tokenizer* tokenizer() const;  // owned by the corpus; null: unknown
  std::vector<std::string> splits() const;
  // Both throw Error for a split that the corpus does not have.
  const std::vector<TokenShard>& shards(const std::string& split) const;
  uint64_t tokens(const std::string& split) const;
  // 16 hexadecimal digits that change when the tokens of any split or the tokenizer do, and not
  // with the folder's name or place. Without meta.json, only sizes and the ends of files above
  // 256 MiB count.
  std::string fingerprint() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
  int64_t assumed_vocab_size_ = 0;
};

// Throws Error unless every split has more than `block_size` tokens: a window is block_size tokens
// and the one after them.
void require_block(const Corpus& corpus, int64_t block_size);

}  // namespace fathom
