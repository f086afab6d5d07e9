// meta.json of a corpus with sound shards: raw, or members that override those of a sound one.
#include <nlohmann/json.hpp>

#include "fathom/data/corpus.h"
#include "fathom/data/prepare_internal.h"
#include "fathom/io/files.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

struct SoundCorpus {
  Folder folder;
  std::string members;  // of its meta.json, without the last brace

  SoundCorpus() {
    const std::string train("\0\0\1\0\2\0\1\0", 8), val("\1\0\2\0", 4);  // ids of any vocabulary
    folder.write("train.bin", train);
    folder.write("val.bin", val);
    const auto entry = [](const std::string& file, const std::string& bytes) {
      return nlohmann::json::array({{{"file", file},
                                     {"tokens", bytes.size() / 2},
                                     {"bytes", bytes.size()},
                                     {"xxh3", xxh3_hex(as_bytes(bytes))}}});
    };
    const nlohmann::json meta = {
        {"format_version", 1},
        {"command", "fathom prepare x.txt"},
        {"tokenizer", {{"kind", "byte"}}},
        {"vocab_size", 256},
        {"text", {{"bytes", 12}, {"characters", 12}}},
        {"splits", {{"train", entry("train.bin", train)}, {"val", entry("val.bin", val)}}}};
    members = meta.dump();
    members.pop_back();
  }
};

void check_accepted(const Corpus& corpus, const std::string& meta) {
  require(corpus.vocab_size() > 0 && corpus.vocab_size() == corpus.tokenizer()->vocab_size(),
          "the vocabulary is the tokenizer's");
  require(corpus.fingerprint().size() == 16, "a fingerprint has 16 digits");
  for (const std::string& split : corpus.splits())
    require(corpus.tokens(split) > 0, "a split has tokens");
  const auto json = nlohmann::json::parse(meta);
  accepts(meta.size(), [&] { to_json(describe_prepared(corpus, json)).dump(); });
}

}  // namespace

FATHOM_FUZZ(in) {
  static const SoundCorpus sound;
  const bool raw = in.below(2) == 0;
  const std::string meta = raw ? grown(in) : sound.members + "," + grown(in) + "}";
  sound.folder.write("meta.json", meta);
  accepts(meta.size(), [&] { check_accepted(Corpus::open(sound.folder.path()), meta); });
}

}  // namespace fathom::fuzzing
