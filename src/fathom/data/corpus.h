// A prepared corpus: a folder of token shards or of rows, and a meta.json that says what they are.
//
//   data/shakespeare_char/{train.bin, val.bin, meta.json}
//   data/questions/{train.jsonl, val.jsonl, meta.json}
//
// meta.json, format_version 1:
//   name, source       what it was called when it was made, and where the text came from
//   command            the `fathom prepare` line that makes it again
//   recipe             everything that decides the shards' content, to tell "the same" from "other"
//   tokenizer          what Tokenizer::from_json reads; vocab_size repeats its size
//   splits             {"train": [{file, tokens, bytes, xxh3}, ...], "val": [...]}
//   kind               "rows": each split is one file of prompts and answers or of texts (row.h), a
//                      row a line; its entry has the number of "rows" too. Else there are shards
//   shard_format, created_by
//
// Folders made elsewhere open too, by the names of their files: {train,val}.bin, {train,val}_N.bin
// or <name>_{train,val}_N.{bin,npy} (shard_names.h). Their tokenizer is that of a tokenizer.json
// (tokenizer_json.h) or else of nanoGPT's meta.pkl (meta_pickle.h) beside them; without one it is
// unknown: tokenizer() is null and vocab_size() is 0. Files without a header that do not look like
// uint16 ids are refused.
//
// Every file is read through when the corpus is opened; of shards above 16 MiB the folder remembers
// it (shard_record.h).
//
// Or one that has no files and no end: its sequences are generated (numbers/example.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fathom/data/numbers/example.h"
#include "fathom/data/row_file.h"
#include "fathom/data/shard.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

std::string data_root();  // $FATHOM_DATA, else "data"
std::vector<std::string>
prepared_corpora();  // folders under data_root() with a meta.json or shards
bool is_corpus_folder(const std::string& path);  // has a meta.json or shards

// A handle: copies are cheap and share the mapped files. Reading is thread-safe.
class Corpus {
 public:
  // The name of a folder in data_root(), or else the path of any folder (or path_to_text() of one,
  // which a saved configuration has). Checks every file's size and XXH3 against meta.json, and a
  // shard's ids against the vocabulary. Throws Error with the `prepare` line to type when the
  // corpus is unknown, or a file is missing, truncated or corrupt.
  static Corpus open(const std::string& given);
  // Generated examples of these settings, under the name kNumbers, with the splits train, val and
  // test. Throws as check() and numbers_tokenizer() do.
  static Corpus generated(const NumbersConfig& numbers);

  const std::string& name() const;  // of the folder
  const std::string& path() const;  // empty: it is generated
  int64_t vocab_size() const;       // 0: unknown
  // For a corpus that does not say. Throws Error that names the first id of any split that is
  // outside.
  void assume_vocab_size(int64_t size);
  const Tokenizer* tokenizer() const;  // owned by the corpus; null: unknown
  std::vector<std::string> splits() const;
  // These throw Error for a split that the corpus does not have, or of which nothing can be
  // generated.
  void require_split(const std::string& split) const;
  const std::vector<TokenShard>& shards(const std::string& split) const;  // Error where it has rows
  const RowFile* rows(const std::string& split) const;  // owned by the corpus; null: it has shards
  // Of rows: of all samples (sample.h), uncut; of what is generated, and has no end, 0.
  uint64_t tokens(const std::string& split) const;
  // A corpus has rows in every split or in none.
  bool has_rows() const;
  const NumbersConfig* numbers() const;  // owned by the corpus; null: it is not generated
  bool is_generated() const { return numbers() != nullptr; }
  // 16 hexadecimal digits that change when the tokens of any split or the tokenizer do, and not
  // with the folder's name or place; of what is generated, when any setting does that decides it.
  std::string fingerprint() const;
  // What is worth saying of a folder without meta.json, a sentence each: the shards that were
  // taken, other .bin and .npy files, a split that is a copy of another. Of what is generated: a
  // folder of its name.
  std::vector<std::string> notices() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
  int64_t assumed_vocab_size_ = 0;
};

// Throws Error unless every split of shards has more than `block_size` tokens: a window is
// block_size tokens and the one after them. Rows, and what is generated, are of any length.
void require_block(const Corpus& corpus, int64_t block_size);

}  // namespace fathom
