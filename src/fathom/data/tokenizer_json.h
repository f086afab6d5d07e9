// Byte-pair tokenizers in the files of Hugging Face: tokenizer.json, or vocab.json and merges.txt.
//
// Read is what is GPT-2's kind: bytes as characters (byte_alphabet.h), GPT-2's pieces, ids in which
// the 256 bytes and the merges stand in the order of the merges, special tokens behind them. All
// else (other pieces, a normaliser, ids in another order) is refused by name, for text would become
// other ids than where the file came from. Special tokens are never made from text, also where
// Hugging Face's tokenizer would find them in it.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/bpe_vocabulary.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

inline constexpr uint64_t kMaxTokenizerBytes = 16 << 20;  // of a file; GPT-2's has 1.4 MB

// Whether a text looks like a tokenizer.json.
bool is_tokenizer_json(std::string_view text);
// `name` stands for the file in errors. Throw Error; the files may be hostile.
BpeVocabulary read_tokenizer_json(std::string_view text, const std::string& name);
BpeVocabulary read_vocab_and_merges(std::string_view vocab, std::string_view merges,
                                    const std::string& name);

// Their inverses. Throw Error as merges_of() does (merges.h).
std::string tokenizer_json_text(const BpeVocabulary& vocabulary);
std::string vocab_json_text(const BpeVocabulary& vocabulary);
std::string merges_text(const BpeVocabulary& vocabulary);  // GPT-2's vocab.bpe has this form

// The tokenizer of a vocabulary that was read: of the kind "gpt2" if it is GPT-2's, "byte" if it is
// the bytes in their own order and nothing else, else "bpe".
std::unique_ptr<Tokenizer> make_tokenizer_of(BpeVocabulary vocabulary);
// The vocabulary of byte pairs that a tokenizer has, as Tokenizer::to_json() tells it; none for
// one over characters.
std::optional<BpeVocabulary> vocabulary_of(const nlohmann::json& tokenizer);

}  // namespace fathom
