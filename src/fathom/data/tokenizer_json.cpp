#include "fathom/data/tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/bpe.h"
#include "fathom/data/byte_alphabet.h"
#include "fathom/data/gpt2_vocabulary.h"
#include "fathom/data/merges.h"
#include "fathom/data/shard.h"
#include "fathom/io/json_text.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr char kKind[] = "fathom reads byte-level byte pairs as GPT-2 has them";

// A tokenizer's parts as its files tell them, in their symbols.
struct Files {
  std::map<std::string, uint32_t> vocab;                    // symbol to id
  std::vector<std::pair<std::string, std::string>> merges;  // in order of rank
  std::map<uint32_t, std::string> added;                    // special tokens by id,
  bool tells_added = false;  // as far as the files tell them from the others
};

uint32_t id_of(const json& value, const std::string& what) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() >= kShardIdLimit)
    fail(fmt::format("{} has the id {}, ids are from 0 to {}", what, shown_json(value),
                     kShardIdLimit - 1),
         kKind);
  return value.get<uint32_t>();
}

std::map<std::string, uint32_t> vocab_from_json(const json& j, const std::string& name) {
  if (!j.is_object() || j.empty())
    fail(fmt::format("{}: its vocabulary is not an object of tokens and ids", name), kKind);
  std::map<std::string, uint32_t> vocab;
  for (const auto& [symbol, id] : j.items())
    vocab[symbol] = id_of(id, fmt::format("{}: the token {}", name, quoted_start(symbol)));
  return vocab;
}

// "Ġ t", or ["Ġ", "t"] in newer files.
std::pair<std::string, std::string> merge_from_json(const json& j, const std::string& name,
                                                    size_t rank) {
  if (j.is_array() && j.size() == 2 && j[0].is_string() && j[1].is_string()) return {j[0], j[1]};
  if (j.is_string()) {
    const auto& text = j.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != text.npos && space > 0 && space + 1 < text.size() &&
        text.find(' ', space + 1) == text.npos)
      return {text.substr(0, space), text.substr(space + 1)};
  }
  fail(fmt::format("{}: merge {} is not two tokens", name, rank), kKind);
}

// Refuses a member that is something else than null, or than what has no effect.
void require_absent(const json& object, const char* key, const std::string& name,
                    const json& harmless = nullptr) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null() || *found == harmless) return;
  fail(fmt::format("{}: \"{}\" is {}, which fathom's byte pairs do not have", name, key,
                   shown_json(*found)),
       kKind);
}

bool has_text(const json& object, const char* key, std::string_view text) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() &&
         found->get_ref<const std::string&>() == text;
}

void check_pieces(const json& file, const std::string& name) {
  const auto found = file.find("pre_tokenizer");
  if (found == file.end() || !found->is_object() || !has_text(*found, "type", "ByteLevel"))
    fail(fmt::format("{}: its pre_tokenizer is not ByteLevel: it cuts texts otherwise", name),
         kKind);
  if (found->contains("add_prefix_space") && found->at("add_prefix_space") != false)
    fail(fmt::format("{}: it puts a space before every text (add_prefix_space)", name), kKind);
  if (found->contains("use_regex") && found->at("use_regex") != true)
    fail(fmt::format("{}: it does not cut texts into GPT-2's pieces (use_regex)", name), kKind);
}

std::map<uint32_t, std::string> added_from_json(const json& file, const std::string& name) {
  std::map<uint32_t, std::string> added;
  const auto list = file.find("added_tokens");
  if (list == file.end() || list->is_null()) return added;
  if (!list->is_array()) fail(fmt::format("{}: \"added_tokens\" is not a list", name), kKind);
  for (const json& token : *list) {
    if (!token.is_object() || !token.contains("id") || !token.contains("content") ||
        !token["content"].is_string())
      fail(fmt::format("{}: an added token has no id, or no content", name), kKind);
    added[id_of(token["id"], name + ": an added token")] = token["content"];
  }
  return added;
}

// The listed pairs must be those that the vocabulary's order has by itself.
void check_merges(const BpeVocabulary& v, const Files& files, const ByteAlphabet& alphabet,
                  const std::string& name) {
  const std::vector<Merge> made = merges_of(v);
  for (size_t rank = 0; rank < std::max(made.size(), files.merges.size()); ++rank) {
    const bool both = rank < made.size() && rank < files.merges.size();
    if (both && alphabet.symbol(v.tokens[made[rank].left]) == files.merges[rank].first &&
        alphabet.symbol(v.tokens[made[rank].right]) == files.merges[rank].second)
      continue;
    const std::string given =
        rank < files.merges.size()
            ? fmt::format("is {} and {}", quoted_start(files.merges[rank].first),
                          quoted_start(files.merges[rank].second))
            : "is missing";
    fail(fmt::format("{}: merge {} {}, which is not how the tokens follow from one another", name,
                     rank, given),
         "ids must be in the order of the merges, and every token of several bytes of one merge");
  }
}

BpeVocabulary vocabulary_from(const Files& files, const std::string& name) {
  const ByteAlphabet alphabet;
  std::map<uint32_t, std::string> by_id = files.added;
  for (const auto& [symbol, id] : files.vocab) {
    const auto [at, is_new] = by_id.emplace(id, symbol);
    if (!is_new && at->second != symbol)
      fail(fmt::format("{}: the id {} is that of {} and of {}", name, id, quoted_start(symbol),
                       quoted_start(at->second)),
           kKind);
  }
  BpeVocabulary v;
  const size_t tokens = 256 + files.merges.size();
  for (const auto& [id, symbol] : by_id) {
    if (id != v.size())
      fail(fmt::format("{}: no token has the id {}", name, v.size()),
           "vocabularies with gaps are not read");
    if (id < tokens && files.added.count(id) > 0)
      fail(fmt::format("{}: the special token {} has the id {}, before those of the merges", name,
                       quoted_start(symbol), id),
           "special tokens must have the ids behind those of the bytes and the merges");
    if (id >= tokens) {
      if (files.tells_added && files.added.count(id) == 0)
        fail(
            fmt::format("{}: no merge makes the token {} of id {}", name, quoted_start(symbol), id),
            kKind);
      v.specials.push_back(symbol);
      continue;
    }
    std::optional<std::string> bytes = alphabet.bytes(symbol);
    if (!bytes || bytes->empty())
      fail(fmt::format("{}: the token {} of id {} is not made of bytes", name, quoted_start(symbol),
                       id),
           kKind);
    v.tokens.push_back(std::move(*bytes));
  }
  validate(v);
  check_merges(v, files, alphabet, name);
  return v;
}

template <class Read>
BpeVocabulary naming_the_file(const std::string& name, Read read) {
  try {
    return read();
  } catch (const Error& e) {
    const std::string what = e.what();
    if (what.rfind(name, 0) == 0) throw;
    fail(fmt::format("{}: {}", name, what), e.hint().empty() ? kKind : e.hint());
  }
}

// {"!":0,"\"":1,...}, in the order of the ids.
std::string vocab_object(const BpeVocabulary& v) {
  const ByteAlphabet alphabet;
  std::string out = "{";
  uint32_t id = 0;
  const auto add = [&](const std::string& symbol) {
    out += fmt::format("{}{}:{}", id == 0 ? "" : ",", json_text(symbol), id);
    ++id;
  };
  for (const std::string& token : v.tokens) add(alphabet.symbol(token));
  for (const std::string& special : v.specials) add(special);
  return out + "}";
}

}  // namespace

bool is_tokenizer_json(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != text.npos && text[first] == '{' && text.find("\"model\"") != text.npos &&
         text.find("\"merges\"") != text.npos;
}

BpeVocabulary read_tokenizer_json(std::string_view text, const std::string& name) {
  return naming_the_file(name, [&] {
    const json file = parse_json(text, name);
    if (!file.is_object() || !file.contains("model") || !file["model"].is_object())
      fail(fmt::format("{} has no \"model\": it is no tokenizer.json", name), kKind);
    const json& model = file["model"];
    if (model.contains("type") && !has_text(model, "type", "BPE"))
      fail(fmt::format("{}: its model is {}, not BPE", name, shown_json(model["type"])), kKind);
    if (!model.contains("vocab") || !model.contains("merges") || !model["merges"].is_array())
      fail(fmt::format("{}: its model has no \"vocab\", or no list \"merges\"", name), kKind);
    require_absent(file, "normalizer", name);
    require_absent(model, "dropout", name, 0.0);
    require_absent(model, "continuing_subword_prefix", name, "");
    require_absent(model, "end_of_word_suffix", name, "");
    require_absent(model, "byte_fallback", name, false);
    check_pieces(file, name);
    Files files;
    files.vocab = vocab_from_json(model["vocab"], name);
    files.added = added_from_json(file, name);
    files.tells_added = true;
    for (const json& merge : model["merges"])
      files.merges.push_back(merge_from_json(merge, name, files.merges.size()));
    return vocabulary_from(files, name);
  });
}

BpeVocabulary read_vocab_and_merges(std::string_view vocab, std::string_view merges,
                                    const std::string& name) {
  return naming_the_file(name, [&] {
    Files files;
    files.vocab = vocab_from_json(parse_json(vocab, name), name);
    for (size_t line = 0; !merges.empty(); ++line) {
      const size_t end = std::min(merges.find('\n'), merges.size());
      std::string_view text = merges.substr(0, end);
      merges.remove_prefix(std::min(end + 1, merges.size()));
      if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
      if (text.empty() || (line == 0 && text.substr(0, 8) == "#version")) continue;
      files.merges.push_back(merge_from_json(std::string(text), name, files.merges.size()));
    }
    return vocabulary_from(files, name);
  });
}

std::string tokenizer_json_text(const BpeVocabulary& vocabulary) {
  const ByteAlphabet alphabet;
  std::vector<std::string> added, merges;
  for (size_t i = 0; i < vocabulary.specials.size(); ++i)
    added.push_back(
        fmt::format(R"({{"id":{},"content":{},"single_word":false,"lstrip":false,"rstrip":false,)"
                    R"("normalized":false,"special":true}})",
                    vocabulary.tokens.size() + i, json_text(vocabulary.specials[i])));
  for (const Merge& merge : merges_of(vocabulary))
    merges.push_back(fmt::format("[{},{}]",
                                 json_text(alphabet.symbol(vocabulary.tokens[merge.left])),
                                 json_text(alphabet.symbol(vocabulary.tokens[merge.right]))));
  const std::string byte_level =
      R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";
  return fmt::format(R"({{
"version": "1.0",
"truncation": null,
"padding": null,
"added_tokens": [{}],
"normalizer": null,
"pre_tokenizer": {},
"post_processor": {},
"decoder": {},
"model": {{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,
"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,
"vocab":{},
"merges":[{}]}}
}}
)",
                     join(added, ","), byte_level, byte_level, byte_level, vocab_object(vocabulary),
                     join(merges, ","));
}

std::string vocab_json_text(const BpeVocabulary& vocabulary) {
  return vocab_object(vocabulary) + "\n";
}

std::string merges_text(const BpeVocabulary& vocabulary) {
  const ByteAlphabet alphabet;
  std::string text = "#version: 0.2\n";
  for (const Merge& merge : merges_of(vocabulary))
    text += fmt::format("{} {}\n", alphabet.symbol(vocabulary.tokens[merge.left]),
                        alphabet.symbol(vocabulary.tokens[merge.right]));
  return text;
}

std::unique_ptr<Tokenizer> make_tokenizer_of(BpeVocabulary vocabulary) {
  bool bytes_alone = vocabulary.size() == 256;
  for (size_t id = 0; bytes_alone && id < 256; ++id)
    bytes_alone = vocabulary.tokens[id] == std::string(1, static_cast<char>(id));
  if (bytes_alone) return make_byte_tokenizer();
  const char* kind = is_gpt2_vocabulary(vocabulary) ? "gpt2" : "bpe";
  return make_bpe_tokenizer(kind, std::move(vocabulary));
}

std::optional<BpeVocabulary> vocabulary_of(const nlohmann::json& tokenizer) {
  const std::string kind = Tokenizer::from_json(tokenizer)->kind();
  if (kind == "gpt2" || kind == "bpe") return bpe_vocabulary_from_json(tokenizer);
  if (kind != "byte") return {};
  BpeVocabulary bytes;
  for (int b = 0; b < 256; ++b) bytes.tokens.emplace_back(1, static_cast<char>(b));
  return bytes;
}

}  // namespace fathom
