#include "fathom/data/corpus.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/data_testing.h"
#include "fathom/data/prepare.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

using testing::all_tokens;
using testing::caught;
using testing::counting;
using testing::HasSubstr;
using testing::slurp;
using testing::spill;
using testing::write_shard;

class CorpusTest : public testing::DataTest {
 protected:
  // A prepared corpus of 20 characters: 18 train, 2 val.
  void prepare_toy(const std::string& text = "abcabcabcabcabcabcab") {
    spill(temp_ / "toy.txt", text);
    PrepareOptions options;
    options.what = temp_ / "toy.txt";
    options.force = true;
    prepare(options);
  }
  std::string file(const std::string& name) { return temp_ / ("data/toy/" + name); }
  nlohmann::json meta() { return nlohmann::json::parse(slurp(file("meta.json"))); }
  // What opening says after one value of meta.json was replaced.
  std::string with(const char* pointer, const nlohmann::json& value) {
    nlohmann::json changed = original_;
    changed[nlohmann::json::json_pointer(pointer)] = value;
    spill(file("meta.json"), changed.dump());
    return caught([] { Corpus::open("toy"); }).what();
  }
  nlohmann::json original_;
};

TEST_F(CorpusTest, OpensWhatWasPrepared) {
  prepare_toy();
  for (const std::string& name : {std::string("toy"), temp_ / "data/toy", temp_ / "data/toy/"}) {
    const Corpus corpus = Corpus::open(name);
    EXPECT_EQ(corpus.name(), "toy");
    EXPECT_EQ(corpus.vocab_size(), 3);
    EXPECT_EQ(corpus.splits(), (std::vector<std::string>{"train", "val"}));
    EXPECT_EQ(corpus.tokens("train"), 18u);
    EXPECT_EQ(corpus.tokens("val"), 2u);
    EXPECT_EQ(all_tokens(corpus.shards("val")[0]), (std::vector<int64_t>{0, 1}));
    EXPECT_EQ(corpus.tokenizer()->encode("cab"), (std::vector<uint32_t>{2, 0, 1}));
  }
  EXPECT_THAT(caught([] { Corpus::open("toy").tokens("test"); }).what(),
              HasSubstr("no split \"test\", only train, val"));
}

TEST_F(CorpusTest, AnUnknownNameListsThePreparedOnesAndTheLineToType) {
  EXPECT_THAT(caught([] { Corpus::open("shakespeare_char"); }).what(), HasSubstr("prepared: none"));
  EXPECT_EQ(caught([] { Corpus::open("shakespeare_char"); }).hint(),
            "`fathom prepare shakespeare_char`");
  prepare_toy();
  fs::create_directories(temp_ / "data/not_a_corpus");
  fs::create_directories(temp_ / "data/nano");
  write_shard(temp_ / "data/nano/train.bin", {1, 2});
  EXPECT_EQ(prepared_corpora(), (std::vector<std::string>{"nano", "toy"}));
  EXPECT_THAT(caught([] { Corpus::open("poems"); }).what(), HasSubstr("prepared: nano, toy"));
  EXPECT_EQ(caught([] { Corpus::open("poems"); }).hint(), "`fathom prepare FILE --name poems`");
  EXPECT_THAT(caught([] { Corpus::open("toi"); }).hint(), HasSubstr("did you mean toy?"));
  EXPECT_THAT(caught([] { Corpus::open("not_a_corpus"); }).what(), HasSubstr("no prepared corpus"));
}

TEST_F(CorpusTest, OddNamesAreUnknownCorporaToo) {
  for (const char* name : {"", "no/such/folder", "x\n", "a b/"}) {
    const Error error = caught([&] { Corpus::open(name); });
    EXPECT_THAT(error.what(), HasSubstr("there is no prepared corpus"));
    EXPECT_EQ(error.hint(), "`fathom prepare FILE --name NAME`");
  }
  fs::create_directories(temp_ / "data");
  EXPECT_THAT(caught([&] { Corpus::open(temp_ / "data/.."); }).what(),
              HasSubstr("is no prepared corpus"));
}

TEST_F(CorpusTest, DataRootIsDataUnlessTheEnvironmentSaysOtherwise) {
  EXPECT_EQ(data_root(), temp_ / "data");
  testing::ScopedVariable none("FATHOM_DATA", "");
  EXPECT_EQ(data_root(), "data");
}

TEST_F(CorpusTest, OpensFoldersOfOtherPrograms) {
  const std::string folder = temp_ / "data/edu";
  fs::create_directories(folder);
  for (const uint32_t i : {2u, 0u, 1u})
    write_shard(folder + "/edufineweb_train_00000" + std::to_string(i) + ".bin",
                counting(10, 10 * i), i == 1 ? ShardFormat::kLlmC : ShardFormat::kNanoGpt);
  write_shard(folder + "/val.bin", {5});
  spill(folder + "/meta.pkl", "never read");
  spill(folder + "/train_notes.txt", "no shard");
  const Corpus corpus = Corpus::open("edu");
  EXPECT_EQ(corpus.vocab_size(), 0);
  EXPECT_EQ(corpus.tokenizer(), nullptr);
  ASSERT_EQ(corpus.shards("train").size(), 3u);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(all_tokens(corpus.shards("train")[i])[0], static_cast<int64_t>(10 * i));
  EXPECT_EQ(corpus.tokens("train"), 30u);

  const std::string before = corpus.fingerprint();
  write_shard(folder + "/val.bin", {6});
  EXPECT_NE(Corpus::open("edu").fingerprint(), before);
  write_shard(folder + "/retrieval_train.bin", {6});
  EXPECT_THAT(caught([] { Corpus::open("edu"); }).what(), HasSubstr("both train and val"));
}

TEST_F(CorpusTest, FingerprintFollowsTheContentAndNotThePlace) {
  prepare_toy();
  const std::string first = Corpus::open("toy").fingerprint();
  EXPECT_EQ(first.size(), 16u);
  fs::copy(temp_ / "data/toy", temp_ / "data/moved");
  EXPECT_EQ(Corpus::open("moved").fingerprint(), first);
  EXPECT_EQ(Corpus::open("moved").name(), "moved");
  prepare_toy("abcabcabcabcabcabcba");
  EXPECT_NE(Corpus::open("toy").fingerprint(), first);
  prepare_toy("abdabdabdabdabdabdab");  // the same ids of other letters
  EXPECT_NE(Corpus::open("toy").fingerprint(), first);
}

TEST_F(CorpusTest, ADamagedShardIsNamedWithTheLineThatMendsIt) {
  prepare_toy();
  const std::string good = slurp(file("train.bin"));
  const std::string line = "`fathom prepare " + (temp_ / "toy.txt") + " --force` makes it again";

  spill(file("train.bin"), good.substr(0, good.size() - 2));
  Error error = caught([] { Corpus::open("toy"); });
  EXPECT_THAT(error.what(), HasSubstr("train.bin has 1,058 bytes where meta.json says 1060"));
  EXPECT_EQ(error.hint(), line);

  std::string flipped = good;
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  spill(file("train.bin"), flipped);
  error = caught([] { Corpus::open("toy"); });
  EXPECT_THAT(error.what(), HasSubstr("train.bin is corrupt"));
  EXPECT_EQ(error.hint(), line);

  fs::remove(file("train.bin"));
  error = caught([] { Corpus::open("toy"); });
  EXPECT_THAT(error.what(), HasSubstr("train.bin is missing"));
  EXPECT_EQ(error.hint(), line);
}

TEST_F(CorpusTest, EveryValueOfMetaJsonIsChecked) {
  prepare_toy();
  original_ = meta();
  EXPECT_THAT(with("/format_version", 2), HasSubstr("format_version is 2"));
  EXPECT_THAT(with("/vocab_size", 4), HasSubstr("vocab_size is 4"));
  EXPECT_THAT(with("/vocab_size", "3"), HasSubstr("vocab_size is \"3\""));
  EXPECT_THAT(with("/tokenizer/kind", "gpt9"), HasSubstr("gpt9"));
  EXPECT_THAT(with("/tokenizer", nullptr), HasSubstr("not a JSON object"));
  EXPECT_THAT(with("/splits", nlohmann::json::array()), HasSubstr("\"splits\""));
  EXPECT_THAT(with("/splits", nlohmann::json::object()), HasSubstr("\"splits\""));
  EXPECT_THAT(with("/splits/val", nlohmann::json::array()), HasSubstr("\"val\""));
  EXPECT_THAT(with("/splits/val/0", 7), HasSubstr("\"file\" is missing"));
  EXPECT_THAT(with("/splits/val/0/tokens", 3), HasSubstr("counts 3 tokens"));
  EXPECT_THAT(with("/splits/val/0/tokens", -2), HasSubstr("\"tokens\" is -2"));
  EXPECT_THAT(with("/splits/val/0/bytes", "many"), HasSubstr("\"bytes\" is \"many\""));
  EXPECT_THAT(with("/splits/val/0/xxh3", "0123456789abcdef"), HasSubstr("corrupt"));
  EXPECT_THAT(with("/splits/val/0/xxh3", 1), HasSubstr("\"xxh3\""));
  for (const std::string& escape :
       {std::string("../toy/val.bin"), std::string("/etc/passwd"), std::string(".."),
        std::string(""), std::string("val.bin\0x", 9)})
    EXPECT_THAT(with("/splits/val/0/file", escape), HasSubstr("not the name of a file"));
  spill(file("meta.json"), "{\"format_version\": ");
  EXPECT_THAT(caught([] { Corpus::open("toy"); }).what(),
              HasSubstr("meta.json: this is not JSON: it breaks at byte 20"));
  EXPECT_EQ(caught([] { Corpus::open("toy"); }).hint(),
            "`fathom prepare FILE --name toy --force` makes it again from its text");
}

TEST_F(CorpusTest, ACommandThatIsNotFitToPrintIsNoHint) {
  prepare_toy();
  original_ = meta();
  for (const char* command : {"rm -rf /", "fathom prepare x\x1b[2J", "fathom prepare \"x\""}) {
    original_["command"] = command;
    with("/vocab_size", 4);
    EXPECT_THAT(caught([] { Corpus::open("toy"); }).hint(), HasSubstr("prepare FILE --name toy"));
  }
}

TEST_F(CorpusTest, RequireBlockNamesTheSplit) {
  prepare_toy();
  EXPECT_NO_THROW(require_block(Corpus::open("toy"), 1));
  const Error error = caught([] { require_block(Corpus::open("toy"), 2); });
  EXPECT_THAT(error.what(), HasSubstr("the split val of toy has 2 tokens"));
  EXPECT_THAT(error.what(), HasSubstr("block_size 2 needs at least 3"));
  EXPECT_THAT(error.hint(), HasSubstr("--block_size"));
}

}  // namespace
}  // namespace fathom
