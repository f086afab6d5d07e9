// Texts to learn from, of any bytes: characters, pieces, and byte pairs that are made for them.
#include <map>

#include "fathom/base/utf8.h"
#include "fathom/data/bpe.h"
#include "fathom/data/text_scan.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

void check_round_trip(const Tokenizer& tokenizer, const std::string& text) {
  require(tokenizer.decode(tokenizer.encode(text)) == text, "a text decodes as it was");
}

}  // namespace

FATHOM_FUZZ(in) {
  const int64_t size = 257 + in.number() % 32;
  const std::string text = grown(in, 30);  // more makes minutes of 20,000 executions
  require(is_printable(in_quotes(text)), "quotes make any text printable");

  const TextScan scan = scan_text(text);
  std::unique_ptr<Tokenizer> characters;
  const bool has_characters = accepts(text.size(), [&] { characters = make_char_tokenizer(text); });
  require(has_characters == (!scan.invalid_at && !text.empty()), "UTF-8 has characters");
  if (has_characters) {
    require(utf8_offset(text, scan.characters) == text.size(), "characters fill the text");
    check_round_trip(*characters, text);
  }

  std::string pieces;
  for_each_piece(text, [&](std::string_view piece) { pieces += piece; });
  require(pieces == text, "pieces leave no gap");
  const Specials specials = size % 2 == 0 ? Specials::kTokens : Specials::kText;
  BpeVocabulary vocabulary = train_bpe(text, size, {}, specials);
  require(vocabulary.size() <= static_cast<size_t>(size), "no more tokens than asked for");
  const auto pairs = make_bpe_tokenizer("bpe", std::move(vocabulary));
  check_round_trip(*pairs, text);
  require(pairs->decode(encode_with_specials(*pairs, text)) == text,
          "specials decode as they were");
}

}  // namespace fathom::fuzzing
