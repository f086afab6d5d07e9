// tokenizer.json, vocab.json and merges.txt of others: raw, or members that override those of a
// sound file. Whatever is accepted reads back from our own files, and encodes any text.
#include <nlohmann/json.hpp>

#include "fathom/data/bpe.h"
#include "fathom/data/tokenizer_json.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

BpeVocabulary sound() {
  BpeVocabulary v = read_bpe_vocabulary("#version: 0.2\n", "x");
  v.tokens.insert(v.tokens.end(), {"ab", "abc"});
  return v;
}

// Of a sound file the model's last member is open, so that more can be written into it.
std::string with_members(const std::string& members, bool of_model) {
  nlohmann::json file = nlohmann::json::parse(tokenizer_json_text(sound()));
  if (!of_model) {
    std::string text = file.dump();
    text.pop_back();
    return text + "," + members + "}";
  }
  std::string model = file["model"].dump();
  model.pop_back();
  file.erase("model");
  std::string text = file.dump();
  text.pop_back();
  return text + ",\"model\":" + model + "," + members + "}}";
}

}  // namespace

FATHOM_FUZZ(in) {
  const size_t mode = in.below(5);
  std::string text, more;
  if (mode == 4) more = in.text('\x01');
  text = grown(in);
  if (mode == 1 || mode == 2) text = with_members(text, mode == 1);
  if (mode == 3) {  // tokens behind the sound ones, one a line: the last two make it
    BpeVocabulary v = sound();
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      if (end > at) v.tokens.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    if (!accepts(text.size(), [&] { text = tokenizer_json_text(v); })) return;
  }
  BpeVocabulary vocabulary;
  const bool accepted = accepts(text.size() + more.size(), [&] {
    vocabulary =
        mode == 4 ? read_vocab_and_merges(text, more, "x") : read_tokenizer_json(text, "x");
  });
  if (!accepted) return;
  validate(vocabulary);
  const BpeVocabulary again = read_tokenizer_json(tokenizer_json_text(vocabulary), "y");
  require(again.tokens == vocabulary.tokens && again.specials == vocabulary.specials,
          "a tokenizer reads back as it was");
  const auto tokenizer = make_tokenizer_of(vocabulary);
  const std::string some = text.substr(text.size() - std::min<size_t>(text.size(), 300));
  require(tokenizer->decode(tokenizer->encode(some)) == some, "what was encoded decodes");
}

}  // namespace fathom::fuzzing
