#include "fathom/data/known_corpora.h"

namespace fathom {
namespace {

KnownCorpus shakespeare_char() {
  KnownCorpus c;
  c.name = "shakespeare_char";
  c.description = "Shakespeare's plays, 1.1 MB, by character: trains in minutes";
  c.tokenizer = "char";
  c.vocab_size = 65;
  c.source = "tinyshakespeare of karpathy/char-rnn";
  c.url =
      "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt";
  c.bytes = 1'115'394;
  c.sha256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed";
  return c;
}

KnownCorpus kjv_char() {
  KnownCorpus c;
  c.name = "kjv_char";
  c.description = "the King James Bible, 4.1 MB, by character: needs no network";
  c.tokenizer = "char";
  c.vocab_size = 63;
  c.source = "Debian's bible-kjv, one verse a line";
  c.program = {"bible", "-f", "gen1:1-rev22:21"};
  c.package = "bible-kjv";
  c.verse_numbers = true;
  return c;
}

}  // namespace

const std::vector<KnownCorpus>& known_corpora() {
  static const std::vector<KnownCorpus> corpora = {shakespeare_char(), kjv_char()};
  return corpora;
}

const KnownCorpus* find_known_corpus(const std::string& name) {
  for (const KnownCorpus& corpus : known_corpora())
    if (corpus.name == name) return &corpus;
  return nullptr;
}

}  // namespace fathom
