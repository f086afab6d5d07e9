#include "fathom/data/meta_pickle.h"

#include <fmt/format.h>

#include <map>

#include "fathom/base/text.h"
#include "fathom/data/pickle.h"

namespace fathom {
namespace {

constexpr int64_t kMostIds = 1 << 24;
constexpr size_t kMostBytes = 64;  // of a character, which has four

class MetaReader {
 public:
  MetaReader(std::string_view bytes, const std::string& name)
      : name_(name), pickle_(read_pickle(bytes, name)) {
    for (const auto& [key, value] : pickle_.dictionaries[pickle_.root])
      if (const auto* text = std::get_if<PickleText>(&key)) values_[**text] = &value;
  }

  MetaPickle read() const {
    MetaPickle meta;
    const auto itos = values_.find("itos");
    if (itos != values_.end()) take_characters(*itos->second, meta);
    const auto size = values_.find("vocab_size");
    if (size == values_.end() && meta.itos.empty())
      refuse_pickle(name_, "has no vocab_size, and no itos of characters that could be counted");
    meta.vocab_size =
        size == values_.end() ? static_cast<int64_t>(meta.itos.size()) : vocab_size(*size->second);
    check_size(meta);
    if (meta.itos.empty()) return meta;
    check_stoi(meta.itos);
    return meta;
  }

 private:
  int64_t vocab_size(const PickleItem& item) const {
    const auto* size = std::get_if<int64_t>(&item);
    if (size == nullptr) refuse_pickle(name_, "has a vocab_size that is no whole number");
    if (*size < 1 || *size > kMostIds)
      refuse_pickle(name_, fmt::format("has vocab_size = {}, allowed: 1 to {}", *size, kMostIds));
    return *size;
  }

  // More characters than ids contradict them. A size above, as nanoGPT pads them, has rows that
  // nobody names.
  void check_size(MetaPickle& meta) const {
    const auto characters = static_cast<int64_t>(meta.itos.size());
    if (characters > meta.vocab_size)
      refuse_pickle(name_,
                    fmt::format("contradicts itself: {} characters in itos, and vocab_size = {}",
                                characters, meta.vocab_size));
    if (characters == 0 || characters == meta.vocab_size) return;
    meta.itos.clear();
    meta.without_text =
        fmt::format("vocab_size = {} is more than its {} characters", meta.vocab_size, characters);
  }

  // What is no list of texts by id is of another kind, of which the size alone is taken.
  void take_characters(const PickleItem& item, MetaPickle& meta) const {
    meta.without_text = "itos is no dictionary from the ids 0, 1, ... to characters";
    const auto* dictionary = std::get_if<DictionaryAt>(&item);
    if (dictionary == nullptr) return;
    const PicklePairs& pairs = pickle_.dictionaries[dictionary->place];
    std::vector<std::string> out(pairs.size());
    for (const auto& [key, value] : pairs) {
      const auto* id = std::get_if<int64_t>(&key);
      const auto* text = std::get_if<PickleText>(&value);
      const bool is_next = id != nullptr && text != nullptr && *id >= 0 &&
                           *id < static_cast<int64_t>(out.size()) && !(*text)->empty() &&
                           (*text)->size() <= kMostBytes && out[static_cast<size_t>(*id)].empty();
      if (!is_next) return;
      out[static_cast<size_t>(*id)] = **text;
    }
    if (out.empty()) return;
    meta.itos = std::move(out);
    meta.without_text.clear();
  }

  void check_stoi(const std::vector<std::string>& itos) const {
    const auto found = values_.find("stoi");
    if (found == values_.end()) return;
    const auto* dictionary = std::get_if<DictionaryAt>(found->second);
    if (dictionary == nullptr) return;
    const PicklePairs& pairs = pickle_.dictionaries[dictionary->place];
    bool agrees = pairs.size() == itos.size();
    for (const auto& [key, value] : pairs) {
      const auto* text = std::get_if<PickleText>(&key);
      const auto* id = std::get_if<int64_t>(&value);
      agrees = agrees && text != nullptr && id != nullptr && *id >= 0 &&
               *id < static_cast<int64_t>(itos.size()) && itos[static_cast<size_t>(*id)] == **text;
    }
    if (!agrees) refuse_pickle(name_, "contradicts itself: stoi does not say what itos says");
  }

  const std::string& name_;
  const Pickle pickle_;
  std::map<std::string, const PickleItem*> values_;
};

}  // namespace

MetaPickle read_meta_pickle(std::string_view bytes, const std::string& name) {
  return MetaReader(bytes, name).read();
}

std::unique_ptr<Tokenizer> tokenizer_of(MetaPickle& meta) {
  if (meta.itos.empty()) return nullptr;
  auto tokenizer = make_char_tokenizer(join(meta.itos, ""));
  bool is_same = tokenizer->vocab_size() == meta.vocab_size;
  for (size_t i = 0; is_same && i < meta.itos.size(); ++i) {
    const auto id = static_cast<uint32_t>(i);
    is_same = tokenizer->decode({&id, 1}) == meta.itos[i];
  }
  if (is_same) return tokenizer;
  meta.itos.clear();
  meta.without_text =
      "itos has other tokens than single characters in the order of their code points";
  return nullptr;
}

}  // namespace fathom
