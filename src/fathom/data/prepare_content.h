// What a corpus is made of: one text, or rows. For prepare.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/bpe_vocabulary.h"
#include "fathom/data/prepare.h"
#include "fathom/data/shard.h"
#include "fathom/data/text_scan.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

// A stage, its whole and what is done of it.
using StageProgress = std::function<void(const char* stage, uint64_t total, uint64_t done)>;

class Content {
 public:
  virtual ~Content() = default;
  // Of all that becomes tokens.
  virtual const TextScan& scan() const = 0;
  // Throws Error where the text has no characters.
  virtual std::unique_ptr<Tokenizer> character_tokenizer() const = 0;
  // Of the train split alone: what validation measures must not shape the tokens.
  virtual BpeVocabulary byte_pairs(int64_t size,
                                   const std::function<void(int64_t)>& progress) const = 0;
  // Writes the splits into `folder`, piece by piece. Returns what meta.json says of them: "text",
  // "splits", and "kind" where there are rows. Throws Error when there is too little for two
  // splits.
  virtual nlohmann::json write(const std::string& folder, const Tokenizer& tokenizer) const = 0;
};

// Both read `text` through, which must outlive the content, as all else must. `notices` are told
// what is worth saying.
std::unique_ptr<Content> text_content(const PrepareOptions& options, std::string_view text,
                                      const StageProgress& progress,
                                      std::vector<std::string>& notices);
// Throws Error with the line for what is no row.
std::unique_ptr<Content> row_content(const PrepareOptions& options, std::string_view text,
                                     const StageProgress& progress,
                                     std::vector<std::string>& notices);

// Of n things the first int(n * (1 - val_fraction)) are trained on, as nanoGPT rounds.
uint64_t train_count(uint64_t n, double val_fraction);
ShardFormat shard_format_of(const PrepareOptions& options);

}  // namespace fathom
