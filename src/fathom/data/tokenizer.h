// Text to token ids and back. Immutable after construction, so safe to share between threads.
//
//   const auto tokenizer = make_char_tokenizer(text);
//   tokenizer->decode(tokenizer->encode("to be")) == "to be"
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/span.h"

namespace fathom {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::string kind() const = 0;  // the name `--tokenizer` takes: "char", "byte", ...
  virtual int64_t vocab_size() const = 0;
  // Throws Error when a part of the text has no token: what, where, and what the vocabulary is.
  virtual std::vector<uint32_t> encode(std::string_view text) const = 0;
  // Throws Error for an id outside [0, vocab_size). The result need not be UTF-8: a byte token may
  // be half a character.
  virtual std::string decode(Span<const uint32_t> ids) const = 0;
  // The token that no text makes and that stands for the end of one, <|endoftext|>; none where the
  // tokenizer has only what texts are made of.
  virtual std::optional<uint32_t> end_of_text() const { return {}; }
  // The end of a part of `text` that encodes by itself as it does in the whole, so that a long text
  // is encoded part by part: about `limit` bytes, and kMaxPieceBytes (bpe.h) beyond it at most.
  virtual size_t part_end(std::string_view text, size_t limit) const;
  // What from_json reads: {"kind": ..., and what the kind needs to rebuild itself}.
  virtual nlohmann::json to_json() const = 0;

  // Throws Error for anything but the output of to_json; the file it came from may be hostile.
  static std::unique_ptr<Tokenizer> from_json(const nlohmann::json& json);
};

// What "<|endoftext|>" within a text is: the token of that name, where the tokenizer has one, or
// text like any other.
enum class Specials { kTokens, kText };

// encode(), where "<|endoftext|>" is end_of_text(). The text between two of them is encoded by
// itself.
std::vector<uint32_t> encode_with_specials(const Tokenizer& tokenizer, std::string_view text);
// How often it stands there.
uint64_t count_specials(std::string_view text);

// How many bytes of text each id stands for; the end of a text is none of it.
std::vector<int64_t> bytes_by_id(const Tokenizer& tokenizer);

// 256 ids, one a byte. Encodes anything.
std::unique_ptr<Tokenizer> make_byte_tokenizer();
// One id a character (Unicode code point) of the text, in code point order, as nanoGPT's
// shakespeare_char. Throws Error if the text is empty or not UTF-8 (with the byte's offset).
std::unique_ptr<Tokenizer> make_char_tokenizer(std::string_view text);

// The kinds that from_json knows, in the order they are listed to users.
std::vector<std::string> tokenizer_kinds();

}  // namespace fathom
