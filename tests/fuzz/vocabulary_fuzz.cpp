// Files of byte-pair vocabularies in all their forms, raw or behind the 256 bytes that each must
// have. Whatever is accepted encodes any text and decodes it again.
#include <nlohmann/json.hpp>

#include "fathom/data/bpe.h"
#include "fuzz/fuzzing.h"
#include "fuzz/vocabularies.h"

namespace fathom::fuzzing {
namespace {

std::string file_of(Input& in) {
  switch (in.below(5)) {
    case 0:
      return in.rest();
    case 1:
      return "#version: 0.2\n" + grown(in);
    case 2:
      return single_bytes('\n', /*ranks=*/true) + grown(in);
    case 3: {  // what follows the bytes in "bpe_ranks", and other members
      const std::string ranks = in.text('\x01');
      return R"({"bpe_ranks": )" +
             nlohmann::json("! 0 " + single_bytes(' ') + ranks)
                 .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
             ", " + grown(in) + "}";
    }
    default:
      return "{" + grown(in);
  }
}

}  // namespace

FATHOM_FUZZ(in) {
  const std::string file = file_of(in);
  BpeVocabulary vocabulary;
  if (!accepts(file.size(), [&] { vocabulary = read_bpe_vocabulary(file, "x.bpe"); })) return;
  validate(vocabulary);
  const BpeVocabulary again = bpe_vocabulary_from_json(to_json(vocabulary));
  require(again.tokens == vocabulary.tokens && again.specials == vocabulary.specials,
          "a vocabulary reads back as it was");
  const std::string text = file.substr(file.size() - std::min<size_t>(file.size(), 300));
  const auto tokenizer = make_bpe_tokenizer("bpe", vocabulary);
  const std::vector<uint32_t> ids = tokenizer->encode(text);
  require(ids.size() <= text.size(), "a token has at least one byte");
  require(tokenizer->decode(ids) == text, "what was encoded decodes to the same text");
}

}  // namespace fathom::fuzzing
