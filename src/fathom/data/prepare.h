// `fathom prepare`: from a text to a folder of token shards, and from JSON lines to one of rows.
//
// Of JSON lines (row.h) a permutation by the seed decides the order, and the last of it are kept
// for validation. Where some have answers, or `rows` asks for it, they stay rows; else they are
// texts, and become token shards with an end_token() (sample.h) behind each.
//
// The folder appears complete or not at all: it is written beside its place and renamed. Of two
// processes that prepare one name at the same time, one does, and the other says so.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/data/known_corpora.h"

namespace fathom {

struct PrepareOptions {
  // A known corpus, or the path of a text file or a pipe; the verb's argument, not a flag.
  std::string what;

  std::string name;                      // empty: the known corpus's name, or the file's stem
  std::string input;                     // a local copy of a known corpus's text
  std::vector<std::string> more_inputs;  // of a corpus of documents, beside it; words, not a flag
  std::string tokenizer = "auto";        // auto, char, byte, gpt2, bpe
  std::string specials = "tokens";       // what <|endoftext|> in a text is: tokens, text
  int64_t vocab_size = 4096;             // of a bpe that is made for the text
  // A file with GPT-2's, empty: the kept or a downloaded one. With bpe, a file of any byte pairs;
  // empty: they are made for the text.
  std::string vocabulary;
  std::string format = "auto";  // auto, text, jsonl
  bool rows = false;
  std::string prompt_field = "prompt", truth_field = "truth";
  std::string text_field = "text", title_field = "title";
  int64_t seed = 0;
  std::string shard_format = "llmc";  // llmc, nanogpt
  double val_fraction = 0.1;
  int64_t shard_tokens = 100'000'000;
  bool force = false;
  std::string url;                     // empty: the known corpus's own address
  int64_t timeout = 10;                // seconds
  int64_t max_bytes = 20'000'000'000;  // of a download of documents
  // Bytes of a text that comes through a pipe or is unpacked. The machine's, not a field.
  uint64_t most_in_memory = uint64_t{16} << 30;
};

void add_fields(FieldList& list, PrepareOptions& options);

struct PrepareReport {
  struct Split {
    std::string name;
    uint64_t tokens = 0;
    uint64_t rows = 0;  // 0: there are shards
  };
  struct Frequent {
    uint32_t id = 0;
    std::string text;  // the token's bytes; not always UTF-8
    uint64_t count = 0;
  };

  std::string name;
  std::string path;
  bool already_prepared = false;  // nothing was written: the same corpus was there
  std::string tokenizer;          // kind
  int64_t vocab_size = 0;
  uint64_t bytes = 0;       // of the text, or of the rows' texts
  uint64_t characters = 0;  // code points, or bytes where the text is not UTF-8
  std::vector<Split> splits;
  double bytes_per_token = 0;
  // Of the train split; of rows, of its first ones with about 4 million tokens.
  double unigram_entropy = 0;      // nats a token: the loss of a model that knows only frequencies
  std::vector<Frequent> frequent;  // at most 10, most frequent first
  std::string sample;              // the first 200 characters
  std::vector<uint32_t> sample_ids;  // and the ids of its first 20 tokens
  std::vector<std::string> notices;  // decisions worth saying: "byte tokenizer, for ..."
};

nlohmann::json to_json(const PrepareReport& report);  // text that is not UTF-8 is escaped

// `stage` is "download", "read", "merge" or "tokenize"; `total` is 0 when unknown. Called often,
// from the calling thread; an exception thrown here ends the preparation and leaves nothing behind.
using PrepareProgress =
    std::function<void(const std::string& stage, uint64_t done, uint64_t total)>;

// Told what must be known before it is done: "--force removes data/x, made from ...".
using PrepareWarning = std::function<void(const std::string&)>;

// Throws Error(kUsage) for options without a meaning, Error for everything else: an unreachable or
// wrong download, a text too short or changed while it was read, a different corpus already in that
// place or put there by another process meanwhile. Without `warn` the report's notices hold what
// it would be told.
PrepareReport prepare(const PrepareOptions& options, const PrepareProgress& progress = {},
                      const PrepareWarning& warn = {});

}  // namespace fathom
