#include "fathom/data/prepare.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/data_testing.h"
#include "fathom/base/utf8.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

using testing::caught;
using ::testing::HasSubstr;
using testing::slurp;
using testing::spill;

class PrepareTest : public testing::DataTest {
 protected:
  PrepareOptions text(const std::string& content, const std::string& file = "poem.txt") {
    spill(temp_ / file, content);
    PrepareOptions options;
    options.what = temp_ / file;
    return options;
  }
  std::string refusal(const PrepareOptions& options) {
    return caught([&] { prepare(options); }).what();
  }
  nlohmann::json meta(const std::string& name) {
    return nlohmann::json::parse(slurp(temp_ / ("data/" + name + "/meta.json")));
  }
  // Everything under the data folder, hidden files too.
  size_t entries() {
    if (!fs::exists(temp_ / "data")) return 0;
    const auto all = fs::recursive_directory_iterator(temp_ / "data");
    return static_cast<size_t>(std::distance(begin(all), end(all)));
  }
};

const std::string kTwentyBytes = "roses are red, so be";

TEST_F(PrepareTest, ReportsWhatItMade) {
  const PrepareReport report = prepare(text("aaaaaaaabbbbbbbb" + std::string("abab")));
  EXPECT_EQ(report.name, "poem");
  EXPECT_EQ(report.path, temp_ / "data/poem");
  EXPECT_FALSE(report.already_prepared);
  EXPECT_EQ(report.tokenizer, "char");
  EXPECT_EQ(report.vocab_size, 2);
  EXPECT_EQ(report.bytes, 20u);
  EXPECT_EQ(report.characters, 20u);
  ASSERT_EQ(report.splits.size(), 2u);
  EXPECT_EQ(report.splits[0].name, "train");
  EXPECT_EQ(report.splits[0].tokens, 18u);
  EXPECT_EQ(report.splits[1].tokens, 2u);
  EXPECT_DOUBLE_EQ(report.bytes_per_token, 1.0);
  EXPECT_NEAR(report.unigram_entropy, std::log(2.0), 1e-12);  // 9 a and 9 b in the train split
  EXPECT_EQ(report.sample, "aaaaaaaabbbbbbbbab");
  EXPECT_EQ(report.sample_ids.size(), 18u);
  ASSERT_EQ(report.frequent.size(), 2u);
  EXPECT_EQ(report.frequent[0].text, "a");
  EXPECT_EQ(report.frequent[0].count, 9u);
  EXPECT_TRUE(report.notices.empty());
  const nlohmann::json json = to_json(report);
  EXPECT_EQ(json["tokens"]["train"], 18);
  EXPECT_EQ(meta("poem")["source"], temp_ / "poem.txt");
  EXPECT_EQ(meta("poem")["created_by"].get<std::string>().rfind("fathom ", 0), 0u);
}

TEST_F(PrepareTest, SplitsByCharacterAndNeverWithinOne) {
  std::string accents;
  for (int i = 0; i < 10; ++i) accents += i % 2 ? "é" : "🙂";
  PrepareOptions options = text(accents);
  options.val_fraction = 0.5;
  const PrepareReport by_character = prepare(options);
  EXPECT_EQ(by_character.characters, 10u);
  EXPECT_EQ(by_character.splits[0].tokens, 5u);
  EXPECT_DOUBLE_EQ(by_character.bytes_per_token, 3.0);
  options.tokenizer = "byte";
  options.name = "bytes";
  const PrepareReport by_byte = prepare(options);
  EXPECT_EQ(by_byte.splits[0].tokens, 16u);  // three of 4 bytes, two of 2
  EXPECT_EQ(by_byte.sample, "🙂é🙂é🙂");
}

TEST_F(PrepareTest, LongTextsAreTokenisedInPieces) {
  std::string long_text;
  while (long_text.size() < (3u << 20)) long_text += "naïve 🙂 café\n";
  const PrepareReport report = prepare(text(long_text));
  EXPECT_EQ(report.splits[0].tokens + report.splits[1].tokens, report.characters);
  const Corpus corpus = Corpus::open("poem");
  std::string again;
  for (const char* split : {"train", "val"}) {
    const std::vector<int64_t> tokens = testing::all_tokens(corpus.shards(split)[0]);
    again += corpus.tokenizer()->decode(std::vector<uint32_t>(tokens.begin(), tokens.end()));
  }
  EXPECT_TRUE(again == long_text);
}

TEST_F(PrepareTest, ChoosesTheTokenizerByTheText) {
  std::string many;
  for (uint32_t c = 0x4E00; c < 0x4E00 + 512; ++c) utf8_append(many, c);
  EXPECT_EQ(prepare(text(many, "512.txt")).tokenizer, "char");
  const PrepareReport more = prepare(text(many + "x", "513.txt"));
  EXPECT_EQ(more.tokenizer, "byte");
  ASSERT_EQ(more.notices.size(), 1u);
  EXPECT_THAT(more.notices[0], HasSubstr("513 different characters"));
  const PrepareReport binary = prepare(text(std::string(50, '\xFF'), "binary.txt"));
  EXPECT_EQ(binary.tokenizer, "byte");
  EXPECT_THAT(binary.notices[0], HasSubstr("not UTF-8"));
  EXPECT_NO_THROW(to_json(binary).dump());
  PrepareOptions forced = text("abcdefghijklmnop\xFFqrstuvw", "latin.txt");
  forced.tokenizer = "char";
  EXPECT_THAT(refusal(forced), HasSubstr("byte 16"));
  EXPECT_THAT(caught([&] { prepare(forced); }).hint(), HasSubstr("--tokenizer byte"));
}

TEST_F(PrepareTest, EveryFieldHasAnEffect) {
  PrepareOptions options;
  FieldList list;
  add_fields(list, options);
  std::vector<std::string> names;
  for (const Field& field : list.all()) names.push_back(field.name());
  // name to force: below. input, url, timeout: known_corpora_test.cpp. vocab_size, vocabulary:
  // cli/prepare_effects_test.cpp. specials: specials_test.cpp. format to seed:
  // prepare_rows_test.cpp.
  EXPECT_EQ(names, (std::vector<std::string>{
                       "name",         "input",       "tokenizer", "vocab_size",   "vocabulary",
                       "specials",     "format",      "rows",      "prompt_field", "truth_field",
                       "text_field",   "title_field", "seed",      "shard_format", "val_fraction",
                       "shard_tokens", "force",       "url",       "timeout",      "max_bytes"}));
  options.what = text(kTwentyBytes).what;
  list.set_text("name", "other", "--name");
  list.set_text("tokenizer", "byte", "--tokenizer");
  list.set_text("shard_format", "nanogpt", "--shard_format");
  list.set_text("val_fraction", "0.25", "--val_fraction");
  list.set_text("shard_tokens", "10", "--shard_tokens");
  const PrepareReport report = prepare(options);
  EXPECT_EQ(report.name, "other");
  EXPECT_EQ(report.vocab_size, 256);
  EXPECT_EQ(report.splits[0].tokens, 15u);
  const Corpus corpus = Corpus::open("other");
  ASSERT_EQ(corpus.shards("train").size(), 2u);
  EXPECT_EQ(corpus.shards("train")[1].path(), temp_ / "data/other/train_000001.bin");
  EXPECT_EQ(corpus.shards("train")[1].size(), 5u);
  EXPECT_EQ(corpus.shards("val")[0].path(), temp_ / "data/other/val.bin");
  EXPECT_EQ(corpus.shards("val")[0].format(), ShardFormat::kNanoGpt);
  EXPECT_EQ(meta("other")["command"], "fathom prepare " + options.what +
                                          " --name other --tokenizer byte --shard_format nanogpt "
                                          "--val_fraction 0.25 --shard_tokens 10");

  list.set_text("val_fraction", "0.5", "--val_fraction");
  EXPECT_THAT(refusal(options), HasSubstr("already holds a different corpus"));
  list.set_text("force", "true", "--force");
  EXPECT_EQ(prepare(options).splits[0].tokens, 10u);
}

// Of the train split alone, and the same tokens as in one piece.
TEST_F(PrepareTest, BytePairsAreMadeForTheText) {
  std::string words;
  for (int i = 0; i < 300; ++i) words += i % 3 == 0 ? "the rain falls\n" : "on hills and rivers ";
  PrepareOptions options = text(words + "zzqqzzqqzzqqzzqqzzqqzzqq");
  options.tokenizer = "bpe";
  options.vocab_size = 270;
  const PrepareReport report = prepare(options);
  EXPECT_EQ(report.tokenizer, "bpe");
  EXPECT_EQ(report.vocab_size, 270);
  EXPECT_GT(report.bytes_per_token, 2);
  const Corpus corpus = Corpus::open("poem");
  EXPECT_EQ(corpus.tokenizer()->encode("zzqq").size(), 4U) << "val had a say";
  const std::vector<int64_t> wide = testing::all_tokens(corpus.shards("val")[0]);
  EXPECT_THAT(corpus.tokenizer()->decode(std::vector<uint32_t>(wide.begin(), wide.end())),
              ::testing::EndsWith("zzqqzzqq"));
  EXPECT_TRUE(prepare(options).already_prepared);
  options.vocab_size = 300;
  EXPECT_THAT(refusal(options), HasSubstr("already holds a different corpus"));
}

TEST_F(PrepareTest, ASecondTimeDoesNothing) {
  const PrepareOptions options = text(kTwentyBytes);
  prepare(options);
  const auto before = fs::last_write_time(temp_ / "data/poem/meta.json");
  const PrepareReport again = prepare(options);
  EXPECT_TRUE(again.already_prepared);
  EXPECT_EQ(again.splits[0].tokens, 18u);
  EXPECT_EQ(again.sample, kTwentyBytes.substr(0, 18));
  EXPECT_EQ(fs::last_write_time(temp_ / "data/poem/meta.json"), before);
  PrepareOptions forced = options;
  forced.force = true;
  EXPECT_FALSE(prepare(forced).already_prepared);
}

TEST_F(PrepareTest, ADifferentCorpusIsReplacedOnlyByForce) {
  prepare(text(kTwentyBytes));
  PrepareOptions other = text(kTwentyBytes + "!");
  const Error error = caught([&] { prepare(other); });
  EXPECT_THAT(error.what(), HasSubstr("already holds a different corpus"));
  EXPECT_THAT(error.hint(), HasSubstr("--force"));
  EXPECT_EQ(Corpus::open("poem").tokens("train"), 18u);
  other.force = true;
  EXPECT_EQ(prepare(other).characters, 21u);
}

TEST_F(PrepareTest, ForceNeverRemovesForeignFiles) {
  prepare(text(kTwentyBytes));
  spill(temp_ / "data/poem/input.txt", "precious");
  PrepareOptions options = text(kTwentyBytes);
  options.force = true;
  EXPECT_THAT(refusal(options), HasSubstr("holds \"input.txt\""));
  EXPECT_EQ(slurp(temp_ / "data/poem/input.txt"), "precious");
}

TEST_F(PrepareTest, ADamagedCorpusIsMadeAgain) {
  prepare(text(kTwentyBytes));
  spill(temp_ / "data/poem/train.bin", "short");
  const PrepareReport report = prepare(text(kTwentyBytes));
  EXPECT_FALSE(report.already_prepared);
  ASSERT_EQ(report.notices.size(), 1u);
  EXPECT_THAT(report.notices[0], HasSubstr("made again, for the shard"));
  EXPECT_EQ(Corpus::open("poem").tokens("train"), 18u);
}

TEST_F(PrepareTest, AnInterruptedPreparationLeavesNothing) {
  for (const std::string stop : {"read", "tokenize"}) {
    EXPECT_THROW(prepare(text(kTwentyBytes),
                         [&](const std::string& stage, uint64_t, uint64_t) {
                           if (stage == stop) throw std::runtime_error("interrupted");
                         }),
                 std::runtime_error);
    EXPECT_EQ(entries(), 0u) << stop;
  }
  EXPECT_TRUE(prepared_corpora().empty());
  prepare(text(kTwentyBytes));
  EXPECT_EQ(prepared_corpora(), std::vector<std::string>{"poem"});
}

TEST_F(PrepareTest, ProgressCoversTheText) {
  uint64_t last = 0;
  prepare(text(kTwentyBytes), [&](const std::string& stage, uint64_t done, uint64_t total) {
    EXPECT_EQ(total, 20u);
    if (stage == "tokenize") last = done;
  });
  EXPECT_EQ(last, 18u);  // where the second split began
}

TEST_F(PrepareTest, ATextTooShortIsRefused) {
  EXPECT_THAT(refusal(text("")), HasSubstr("is empty"));
  const Error error = caught([&] { prepare(text("0123456789")); });
  EXPECT_THAT(error.what(), HasSubstr("too short: of its 10 bytes the split val gets 1 tokens"));
  EXPECT_THAT(error.hint(), HasSubstr("--val_fraction"));
  EXPECT_EQ(entries(), 0u);
}

TEST_F(PrepareTest, WrongUseIsRefusedBeforeAnythingIsRead) {
  const PrepareOptions good = text(kTwentyBytes);
  const auto usage = [&](auto change) {
    PrepareOptions options = good;
    change(options);
    const Error error = caught([&] { prepare(options); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage) << error.what();
    return error.what() + ("\n" + error.hint());
  };
  EXPECT_THAT(usage([](auto& o) { o.what = "shakespeare_chr"; }),
              HasSubstr("did you mean shakespeare_char?"));
  EXPECT_THAT(usage([](auto& o) { o.what = "/no/file.txt"; }), HasSubstr("path of a text file"));
  EXPECT_THAT(usage([](auto& o) { o.name = "../up"; }), HasSubstr("no name for a folder"));
  EXPECT_THAT(usage([](auto& o) { o.name = ".hidden"; }), HasSubstr("no name for a folder"));
  EXPECT_THAT(usage([](auto& o) { o.tokenizer = "bite"; }), HasSubstr("byte"));
  EXPECT_THAT(usage([](auto& o) { o.shard_format = "npy"; }), HasSubstr("llmc"));
  EXPECT_THAT(usage([](auto& o) { o.val_fraction = 0; }), HasSubstr("val_fraction"));
  EXPECT_THAT(usage([](auto& o) { o.val_fraction = 1; }), HasSubstr("val_fraction"));
  EXPECT_THAT(usage([](auto& o) { o.shard_tokens = 1; }), HasSubstr("shard_tokens"));
  EXPECT_THAT(usage([](auto& o) { o.timeout = 0; }), HasSubstr("timeout"));
  EXPECT_THAT(usage([](auto& o) { o.input = "x"; }), HasSubstr("--input"));
  EXPECT_THAT(usage([](auto& o) { o.url = "http://x"; }), HasSubstr("--url"));
  EXPECT_EQ(entries(), 0u);
}

TEST_F(PrepareTest, NamesAreMadeFromFileNames) {
  EXPECT_EQ(prepare(text(kTwentyBytes, "my poem (2).txt")).name, "my_poem_(2)");
  EXPECT_EQ(meta("my_poem_(2)")["command"], "fathom prepare '" + (temp_ / "my poem (2).txt") + "'");
  EXPECT_EQ(prepare(text(kTwentyBytes, ".secret")).name, "text.secret");
}

TEST_F(PrepareTest, AnUnwritableDataFolderIsNamed) {
  spill(temp_ / "data", "a file in its place");
  const Error error = caught([&] { prepare(text(kTwentyBytes)); });
  EXPECT_THAT(error.what(), HasSubstr("data"));
  EXPECT_THAT(error.hint(), HasSubstr("FATHOM_DATA"));
}

}  // namespace
}  // namespace fathom
