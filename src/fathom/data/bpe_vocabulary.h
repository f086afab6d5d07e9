// The vocabulary of a byte-pair encoding: which byte strings are tokens, and in what order they are
// made (Sennrich et al. 2016; over bytes: Radford et al. 2019).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

inline constexpr size_t kMaxTokenBytes = 4096;  // of one token; GPT-2's longest has 128
inline constexpr char kEndOfText[] = "<|endoftext|>";

struct BpeVocabulary {
  // The bytes of each id. The order is that of the merges: of the pairs in a text the one that
  // makes the lowest id is merged first. Every single byte is among them, none is there twice.
  std::vector<std::string> tokens;
  // Ids after those, never made from text: "<|endoftext|>".
  std::vector<std::string> specials;

  size_t size() const { return tokens.size() + specials.size(); }
};

// Throws Error with the first id that breaks a rule above, or when there are more than a shard's
// 65,536 ids.
void validate(const BpeVocabulary& vocabulary);

// As in a corpus's meta.json and in checkpoints: {"tokens": base64 words in one text, "specials"}.
nlohmann::json to_json(const BpeVocabulary& vocabulary);
// Throws Error for anything else; the file it came from may be hostile.
BpeVocabulary bpe_vocabulary_from_json(const nlohmann::json& json);

// Reads what others write; `name` is for errors. Known by its content:
//   vocab.bpe, merges.txt   GPT-2's merges, "#version", which may be missing, and two symbols a
//                           line. Ids are GPT-2's: the 256 bytes in its order, then the merges,
//                           then <|endoftext|>
//   *.tiktoken              base64 and rank, a line a token
//   the JSON of the npm package tiktoken (encoders/gpt2.json): ranks and special tokens
//   tokenizer.json          Hugging Face's (tokenizer_json.h)
BpeVocabulary read_bpe_vocabulary(std::string_view text, const std::string& name);

}  // namespace fathom
