#include "fathom/data/known_corpora.h"

#include <fmt/format.h>

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

constexpr int64_t kGpt2Vocabulary = 50257;
constexpr char kHub[] = "https://huggingface.co/datasets/";

KnownCorpus of_documents(const char* name, const char* description, const char* source) {
  KnownCorpus c;
  c.name = name;
  c.description = description;
  c.source = source;
  c.tokenizer = "gpt2";
  c.vocab_size = kGpt2Vocabulary;
  c.has_documents = true;
  c.val_fraction = 0.005;
  return c;
}

// "<start>00003-of-00041<end>" for all of them.
void add_numbered(KnownCorpus& c, const std::string& start, int count, const std::string& end,
                  const std::string& split = "") {
  for (int i = 0; i < count; ++i)
    c.parts.push_back({fmt::format("{}{}{:05}-of-{:05}{}", kHub, start, i, count, end), split});
}

// These addresses are not tested; --url and --input take others.
KnownCorpus openwebtext() {
  KnownCorpus c = of_documents("openwebtext", "the open copy of GPT-2's training text, 40 GB",
                               "OpenWebText (Gokaslan and Cohen 2019)");
  c.form.tidy = true;
  c.parts = {{fmt::format("{}Skylion007/openwebtext/resolve/main/openwebtext.tar.xz", kHub)}};
  c.val_fraction = 0.0005;
  return c;
}

KnownCorpus fineweb() {
  KnownCorpus c = of_documents("fineweb", "educational web pages, a sample of 10 billion tokens",
                               "FineWeb-Edu, sample-10BT (Penedo et al. 2024)");
  for (int i = 0; i < 14; ++i)
    c.parts.push_back({fmt::format(
        "{}HuggingFaceFW/fineweb-edu/resolve/main/sample/10BT/{:03}_00000.parquet", kHub, i)});
  return c;
}

KnownCorpus wikitext() {
  KnownCorpus c = of_documents("wikitext", "Wikipedia's good articles, 103 million words",
                               "WikiText-103 (Merity et al. 2016), raw");
  c.form.joined = true;
  c.has_splits = true;
  const std::string folder = "Salesforce/wikitext/resolve/main/wikitext-103-raw-v1/";
  add_numbered(c, folder + "train-", 2, ".parquet", "train");
  add_numbered(c, folder + "validation-", 1, ".parquet", "val");
  add_numbered(c, folder + "test-", 1, ".parquet", "test");
  return c;
}

KnownCorpus wikipedia() {
  KnownCorpus c = of_documents("wikipedia", "English Wikipedia of November 2023, 20 GB",
                               "Wikipedia 20231101.en, by the Wikimedia Foundation");
  c.form.titled = true;
  add_numbered(c, "wikimedia/wikipedia/resolve/main/20231101.en/train-", 41, ".parquet");
  return c;
}

}  // namespace

const std::vector<KnownCorpus>& known_corpora() {
  static const std::vector<KnownCorpus> corpora = {shakespeare_char(), kjv_char(), openwebtext(),
                                                   fineweb(),          wikitext(), wikipedia()};
  return corpora;
}

const KnownCorpus* find_known_corpus(const std::string& name) {
  for (const KnownCorpus& corpus : known_corpora())
    if (corpus.name == name) return &corpus;
  return nullptr;
}

}  // namespace fathom
