#include "fathom/data/bpe_vocabulary.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/byte_alphabet.h"
#include "fathom/data/shard.h"
#include "fathom/data/tokenizer_json.h"
#include "fathom/io/json_text.h"

namespace fathom {
namespace {

std::string base64(const std::string& bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                reinterpret_cast<const unsigned char*>(bytes.data()),
                                static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(n));
  return out;
}

// None: not base64.
std::optional<std::string> from_base64(std::string_view word) {
  if (word.empty() || word.size() % 4 != 0 || word.size() > 2 * kMaxTokenBytes) return {};
  std::string out(3 * word.size() / 4, '\0');
  const int n = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                reinterpret_cast<const unsigned char*>(word.data()),
                                static_cast<int>(word.size()));
  if (n < 0) return {};
  // OpenSSL counts the padding as bytes.
  size_t padding = 0;
  while (padding < 2 && word[word.size() - 1 - padding] == '=') ++padding;
  out.resize(static_cast<size_t>(n) - padding);
  if (base64(out) != word) return {};
  return out;
}

std::vector<std::string_view> words_of(std::string_view text, char separator) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    if (end > 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

std::string_view without_return(std::string_view line) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

[[noreturn]] void fail_line(const std::string& name, size_t line, const std::string& what) {
  fail(fmt::format("{}: line {} {}", name, line, what),
       "the file is damaged, or no vocabulary of byte pairs");
}

BpeVocabulary read_merges(std::string_view text, const std::string& name) {
  const ByteAlphabet alphabet;
  BpeVocabulary vocabulary;
  for (const unsigned char b : alphabet.order())
    vocabulary.tokens.emplace_back(1, static_cast<char>(b));
  size_t number = 0;
  for (std::string_view line : words_of(text, '\n')) {
    ++number;
    line = without_return(line);
    if (line.empty() || (number == 1 && line.substr(0, 8) == "#version")) continue;
    const auto halves = words_of(line, ' ');
    if (halves.size() != 2) fail_line(name, number, "is not two symbols with a space between");
    const auto left = alphabet.bytes(halves[0]), right = alphabet.bytes(halves[1]);
    if (!left || !right) fail_line(name, number, "has a character that stands for no byte");
    vocabulary.tokens.push_back(*left + *right);
    if (vocabulary.tokens.size() > kShardIdLimit) fail_line(name, number, "is one too many");
  }
  vocabulary.specials = {kEndOfText};
  return vocabulary;
}

BpeVocabulary read_ranks(std::string_view text, const std::string& name) {
  BpeVocabulary vocabulary;
  size_t number = 0;
  for (std::string_view line : words_of(text, '\n')) {
    ++number;
    const auto words = words_of(without_return(line), ' ');
    if (words.size() != 2) fail_line(name, number, "is not base64 and a rank");
    const auto token = from_base64(words[0]);
    if (!token) fail_line(name, number, "does not begin with base64");
    size_t rank = 0;
    const auto [end, error] =
        std::from_chars(words[1].data(), words[1].data() + words[1].size(), rank);
    if (error != std::errc() || end != words[1].data() + words[1].size() ||
        rank != vocabulary.tokens.size())
      fail_line(name, number, fmt::format("is not of rank {}", vocabulary.tokens.size()));
    vocabulary.tokens.push_back(*token);
    if (vocabulary.tokens.size() > kShardIdLimit) fail_line(name, number, "is one too many");
  }
  vocabulary.specials = {kEndOfText};
  return vocabulary;
}

// "bpe_ranks": lines of "! <first rank> <base64> <base64> ...".
BpeVocabulary read_package(std::string_view text, const std::string& name) {
  using nlohmann::json;
  const json j = parse_json(text, name);
  if (!j.is_object() || !j.contains("bpe_ranks") || !j["bpe_ranks"].is_string())
    fail(fmt::format("{} has no text under \"bpe_ranks\"", name),
         "take encoders/gpt2.json of the npm package tiktoken");
  BpeVocabulary vocabulary;
  for (const std::string_view line : words_of(j["bpe_ranks"].get_ref<const std::string&>(), '\n')) {
    const auto words = words_of(line, ' ');
    if (words.size() < 2 || words[0] != "!" || words[1] != std::to_string(vocabulary.tokens.size()))
      fail(fmt::format("{}: \"bpe_ranks\" does not go on at rank {}", name,
                       vocabulary.tokens.size()),
           "the file is damaged");
    for (size_t i = 2; i < words.size(); ++i) {
      const auto token = from_base64(words[i]);
      if (!token || vocabulary.tokens.size() >= kShardIdLimit)
        fail(fmt::format("{}: rank {} is not base64, or one too many", name,
                         vocabulary.tokens.size()),
             "the file is damaged");
      vocabulary.tokens.push_back(*token);
    }
  }
  std::map<uint64_t, std::string> specials;
  if (j.contains("special_tokens") && j["special_tokens"].is_object())
    for (const auto& [token, id] : j["special_tokens"].items())
      if (id.is_number_unsigned()) specials[id] = token;
  for (const auto& [id, token] : specials) {
    if (id != vocabulary.size())
      fail(fmt::format("{}: the special token {} has the id {}, {} would follow", name,
                       quoted_start(token), id, vocabulary.size()),
           "vocabularies with gaps are not read");
    vocabulary.specials.push_back(token);
  }
  return vocabulary;
}

// GPT-2's merges by their first line: its version or, where that was cut off, the first merge,
// which is of two single bytes. No line of ranks is: their base64 has four letters at least.
bool begins_as_merges(std::string_view text) {
  if (text.substr(0, 8) == "#version") return true;
  const auto halves = words_of(without_return(text.substr(0, text.find('\n'))), ' ');
  const ByteAlphabet alphabet;
  return halves.size() == 2 &&
         std::all_of(halves.begin(), halves.end(), [&](std::string_view symbol) {
           const auto bytes = alphabet.bytes(symbol);
           return bytes && bytes->size() == 1;
         });
}

}  // namespace

void validate(const BpeVocabulary& v) {
  if (v.size() > kShardIdLimit)
    fail(fmt::format("a vocabulary of {} tokens does not fit shards of {} ids", v.size(),
                     kShardIdLimit));
  std::unordered_set<std::string_view> seen;
  size_t bytes = 0;
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    const std::string& token = v.tokens[id];
    if (token.empty() || token.size() > kMaxTokenBytes)
      fail(fmt::format("token {} has {} bytes, allowed are 1 to {}", id, token.size(),
                       kMaxTokenBytes));
    if (!seen.insert(token).second) fail(fmt::format("token {} is there twice", id));
    bytes += token.size() == 1;
  }
  if (bytes != 256) fail(fmt::format("{} of 256 single bytes are tokens", bytes));
  for (const std::string& special : v.specials)
    if (special.empty() || special.size() > kMaxTokenBytes)
      fail("a special token is empty or very long");
}

nlohmann::json to_json(const BpeVocabulary& v) {
  std::string words;
  for (const std::string& token : v.tokens) words += (words.empty() ? "" : " ") + base64(token);
  return {{"tokens", words}, {"specials", v.specials}};
}

BpeVocabulary bpe_vocabulary_from_json(const nlohmann::json& json) {
  const auto tokens = json.find("tokens"), specials = json.find("specials");
  if (tokens == json.end() || !tokens->is_string() || specials == json.end() ||
      !specials->is_array())
    fail("the tokenizer has no text under \"tokens\", or no list under \"specials\"");
  BpeVocabulary v;
  for (const std::string_view word : words_of(tokens->get_ref<const std::string&>(), ' ')) {
    const auto token = from_base64(word);
    if (!token || v.tokens.size() >= kShardIdLimit)
      fail(
          fmt::format("token {} of the tokenizer is not base64, or one too many", v.tokens.size()));
    v.tokens.push_back(*token);
  }
  for (const auto& special : *specials) {
    if (!special.is_string()) fail("a special token of the tokenizer is no text");
    v.specials.push_back(special);
  }
  validate(v);
  return v;
}

BpeVocabulary read_bpe_vocabulary(std::string_view text, const std::string& name) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  BpeVocabulary v;
  if (first == text.npos)
    fail(fmt::format("{} is empty", name), "take vocab.bpe of GPT-2, or encoders/gpt2.json");
  if (is_tokenizer_json(text))
    v = read_tokenizer_json(text, name);
  else if (text[first] == '{')
    v = read_package(text, name);
  else if (begins_as_merges(text.substr(first)))
    v = read_merges(text.substr(first), name);
  else
    v = read_ranks(text.substr(first), name);
  try {
    validate(v);
  } catch (const Error& e) {
    fail(fmt::format("{}: {}", name, e.what()), "the file is damaged");
  }
  return v;
}

}  // namespace fathom
