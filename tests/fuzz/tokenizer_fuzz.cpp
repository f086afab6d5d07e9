// Tokenizers in JSON, as corpora and checkpoints carry them, raw or in a sound object.
#include "fathom/data/tokenizer.h"

#include <nlohmann/json.hpp>

#include "fathom/io/json_text.h"
#include "fuzz/fuzzing.h"
#include "fuzz/vocabularies.h"

namespace fathom::fuzzing {
namespace {

using nlohmann::json;

std::string quoted(const std::string& text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string file_of(Input& in) {
  switch (in.below(3)) {
    case 0:
      return grown(in);
    case 1:
      return R"({"kind":"bpe","specials":["<|endoftext|>"],"tokens":)" +
             quoted(single_bytes(' ') + in.text('\n')) + grown(in) + "}";
    default:
      return R"({"kind":"char","characters":)" + quoted(in.text('\n')) + grown(in) + "}";
  }
}

void check_accepted(const Tokenizer& tokenizer, const std::string& text) {
  const json saved = tokenizer.to_json();
  require(Tokenizer::from_json(saved)->to_json() == saved, "a tokenizer reads back as it was");
  std::vector<uint32_t> ids;
  if (accepts(text.size(), [&] { ids = tokenizer.encode(text); }))
    require(tokenizer.decode(ids) == text, "what was encoded decodes to the same text");
  const auto size = static_cast<uint32_t>(tokenizer.vocab_size());
  require(!tokenizer.decode(std::vector<uint32_t>{0, size - 1}).empty(), "every id has a text");
  require(!accepts(0, [&] { tokenizer.decode(std::vector<uint32_t>{size}); }), "no id is beyond");
  for (size_t at = 0; at < text.size();) {
    const size_t part = tokenizer.part_end(std::string_view(text).substr(at), 7);
    require(part > 0 && part <= text.size() - at, "a part is within the text");
    at += part;
  }
}

}  // namespace

FATHOM_FUZZ(in) {
  const std::string file = file_of(in);
  std::unique_ptr<Tokenizer> tokenizer;
  if (accepts(file.size(), [&] { tokenizer = Tokenizer::from_json(parse_json(file, "x.json")); }))
    check_accepted(*tokenizer, file.substr(file.size() - std::min<size_t>(file.size(), 200)));
}

}  // namespace fathom::fuzzing
