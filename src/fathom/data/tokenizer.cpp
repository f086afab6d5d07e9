#include "fathom/data/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/base/utf8.h"
#include "fathom/data/bpe.h"
#include "fathom/data/text_scan.h"

namespace fathom {
namespace {

constexpr uint32_t kNoToken = ~uint32_t{0};
constexpr uint32_t kByteOrderMark = 0xFEFF;

[[noreturn]] void fail_id(uint32_t id, int64_t vocab_size) {
  fail(fmt::format("token {} is outside the vocabulary of {} tokens", id, vocab_size),
       "the ids come from another tokenizer than this one");
}

[[noreturn]] void fail_utf8(uint64_t offset) {
  fail(fmt::format("the text is not UTF-8: byte {} begins no character", offset),
       "--tokenizer byte takes any bytes");
}

std::string character(uint32_t code_point) {
  std::string text;
  utf8_append(text, code_point);
  return text;
}

class ByteTokenizer : public Tokenizer {
 public:
  std::string kind() const override { return "byte"; }
  int64_t vocab_size() const override { return 256; }

  std::vector<uint32_t> encode(std::string_view text) const override {
    std::vector<uint32_t> ids(text.size());
    std::transform(text.begin(), text.end(), ids.begin(),
                   [](char c) { return static_cast<unsigned char>(c); });
    return ids;
  }

  std::string decode(Span<const uint32_t> ids) const override {
    std::string text;
    text.reserve(ids.size());
    for (const uint32_t id : ids) {
      if (id >= 256) fail_id(id, 256);
      text += static_cast<char>(id);
    }
    return text;
  }

  nlohmann::json to_json() const override { return {{"kind", kind()}}; }
};

class CharTokenizer : public Tokenizer {
 public:
  // `alphabet`: distinct code points in ascending order, at least one.
  explicit CharTokenizer(std::vector<uint32_t> alphabet)
      : alphabet_(std::move(alphabet)), id_of_(alphabet_.back() + 1, kNoToken) {
    for (uint32_t id = 0; id < alphabet_.size(); ++id) id_of_[alphabet_[id]] = id;
  }

  std::string kind() const override { return "char"; }
  int64_t vocab_size() const override { return static_cast<int64_t>(alphabet_.size()); }

  std::vector<uint32_t> encode(std::string_view text) const override {
    std::vector<uint32_t> ids;
    ids.reserve(text.size());
    for (size_t i = 0; i < text.size();) {
      const size_t length = utf8_length(text, i);
      if (length == 0) fail_utf8(i);
      const uint32_t code_point = utf8_decode(text, i, length);
      const uint32_t id = code_point < id_of_.size() ? id_of_[code_point] : kNoToken;
      if (id == kNoToken) fail_unknown(code_point, ids.size());
      ids.push_back(id);
      i += length;
    }
    return ids;
  }

  std::string decode(Span<const uint32_t> ids) const override {
    std::string text;
    text.reserve(ids.size());
    for (const uint32_t id : ids) {
      if (id >= alphabet_.size()) fail_id(id, vocab_size());
      utf8_append(text, alphabet_[id]);
    }
    return text;
  }

  nlohmann::json to_json() const override {
    std::string characters;
    for (const uint32_t code_point : alphabet_) utf8_append(characters, code_point);
    return {{"kind", kind()}, {"characters", characters}};
  }

 private:
  [[noreturn]] void fail_unknown(uint32_t code_point, size_t position) const {
    const bool is_return = code_point == '\r', is_mark = code_point == kByteOrderMark;
    fail(fmt::format("the character {} (U+{:04X}{}) at position {} is not in the vocabulary of {} "
                     "characters",
                     in_quotes(character(code_point)), code_point,
                     is_return ? ", the carriage return of lines that end in CRLF"
                     : is_mark ? ", a byte order mark"
                               : "",
                     position, vocab_size()),
         is_return ? "`sed 's/\\r$//' FILE` writes the text without it"
         : is_mark ? "`sed '1s/^\\xef\\xbb\\xbf//' FILE` writes the text without it"
                   : "leave it out, or prepare the corpus with --tokenizer byte, which takes any "
                     "text; of generated numbers that is --numbers_tokenizer=byte");
  }

  std::vector<uint32_t> alphabet_;  // code point of each id
  std::vector<uint32_t> id_of_;     // id of each code point, kNoToken between them
};

std::unique_ptr<Tokenizer> char_tokenizer_from_json(const nlohmann::json& json) {
  const auto characters = json.find("characters");
  if (characters == json.end() || !characters->is_string())
    fail("the char tokenizer has no text under \"characters\"");
  const auto& text = characters->get_ref<const std::string&>();
  TextScan scan = scan_text(text);
  if (scan.invalid_at)
    fail(fmt::format("byte {} of the tokenizer's \"characters\" is not UTF-8", *scan.invalid_at));
  // Ids are positions in this text, so a repeated or misplaced character would shift all others.
  auto tokenizer =
      scan.alphabet.empty() ? nullptr : std::make_unique<CharTokenizer>(std::move(scan.alphabet));
  if (!tokenizer || tokenizer->to_json()["characters"] != text)
    fail("the tokenizer's \"characters\" are not distinct characters in ascending order");
  return tokenizer;
}

}  // namespace

std::unique_ptr<Tokenizer> make_byte_tokenizer() {
  return std::make_unique<ByteTokenizer>();
}

std::unique_ptr<Tokenizer> make_char_tokenizer(std::string_view text) {
  TextScan scan = scan_text(text);
  if (scan.invalid_at) fail_utf8(*scan.invalid_at);
  if (scan.alphabet.empty()) fail("an empty text has no characters to make a vocabulary of");
  return std::make_unique<CharTokenizer>(std::move(scan.alphabet));
}

std::vector<uint32_t> encode_with_specials(const Tokenizer& tokenizer, std::string_view text) {
  const std::optional<uint32_t> end = tokenizer.end_of_text();
  const std::string_view mark = kEndOfText;
  std::vector<uint32_t> ids;
  while (!text.empty()) {
    const size_t found = end ? std::min(text.find(mark), text.size()) : text.size();
    const std::vector<uint32_t> part = tokenizer.encode(text.substr(0, found));
    ids.insert(ids.end(), part.begin(), part.end());
    text.remove_prefix(found);
    if (text.empty()) break;
    ids.push_back(*end);
    text.remove_prefix(mark.size());
  }
  return ids;
}

uint64_t count_specials(std::string_view text) {
  const std::string_view mark = kEndOfText;
  uint64_t n = 0;
  for (size_t at = text.find(mark); at != text.npos; at = text.find(mark, at + mark.size())) ++n;
  return n;
}

std::vector<int64_t> bytes_by_id(const Tokenizer& tokenizer) {
  std::vector<int64_t> bytes;
  for (uint32_t id = 0; id < tokenizer.vocab_size(); ++id)
    bytes.push_back(static_cast<int64_t>(tokenizer.decode({&id, 1}).size()));
  if (const auto end = tokenizer.end_of_text()) bytes.at(*end) = 0;
  return bytes;
}

std::vector<std::string> tokenizer_kinds() {
  return {"char", "byte", "gpt2", "bpe"};
}

// Not within a character: on over its continuation bytes (10xxxxxx), at most three.
size_t Tokenizer::part_end(std::string_view text, size_t limit) const {
  for (int i = 0; i < 3 && limit < text.size() && (text[limit] & 0xC0) == 0x80; ++i) ++limit;
  return std::min(limit, text.size());
}

std::unique_ptr<Tokenizer> Tokenizer::from_json(const nlohmann::json& json) {
  if (!json.is_object()) fail("the tokenizer is not a JSON object");
  const auto kind = json.find("kind");
  if (kind == json.end() || !kind->is_string()) fail("the tokenizer has no text under \"kind\"");
  if (*kind == "byte") return make_byte_tokenizer();
  if (*kind == "char") return char_tokenizer_from_json(json);
  if (*kind == "gpt2" || *kind == "bpe")
    return make_bpe_tokenizer(*kind, bpe_vocabulary_from_json(json));
  fail(fmt::format("the tokenizer's kind is {}, known are: {}",
                   quoted_start(kind->get_ref<const std::string&>()),
                   join(tokenizer_kinds(), ", ")));
}

}  // namespace fathom
