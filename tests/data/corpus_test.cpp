#include "fathom/data/corpus.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "data/data_testing.h"
#include "fathom/data/prepare.h"
#include "fathom/data/tokenizer_json.h"
#include "source_path.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

using testing::all_tokens;
using testing::caught;
using testing::counting;
using ::testing::HasSubstr;
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
  EXPECT_THAT(caught([] { Corpus::open("poems"); }).what(),
              HasSubstr(" in " + std::string(temp_ / "data") + "; prepared: nano, toy"));
  EXPECT_THAT(caught([] { Corpus::open("other/poems"); }).what(),
              HasSubstr(" here, nor in " + std::string(temp_ / "data")));
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
}

class ShardNamesTest : public testing::DataTest {
 protected:
  // Opens a folder of these files, each with three tokens of which the first is its place here.
  Corpus open(const std::vector<std::string>& files) {
    fs::remove_all(temp_ / "data/x");
    fs::create_directories(temp_ / "data/x");
    for (uint32_t i = 0; i < files.size(); ++i)
      write_shard(temp_ / ("data/x/" + files[i]), {i, 1, 2});
    return Corpus::open("x");
  }
  std::string refusal(const std::vector<std::string>& files) {
    return caught([&] { open(files); }).what();
  }
  std::vector<int64_t> order(const Corpus& corpus, const std::string& split) {
    std::vector<int64_t> first;
    for (const TokenShard& shard : corpus.shards(split)) first.push_back(all_tokens(shard)[0]);
    return first;
  }
};

TEST_F(ShardNamesTest, AreOfOnePattern) {
  const auto splits = [&](const std::vector<std::string>& files) { return open(files).splits(); };
  const std::vector<std::string> both = {"train", "val"};
  EXPECT_EQ(splits({"train.bin", "val.bin"}), both);
  EXPECT_EQ(splits({"train_000000.bin", "val.bin"}), both);
  EXPECT_EQ(splits({"fineweb_train_000001.bin", "fineweb_val_000000.bin"}), both);
  EXPECT_EQ(splits({"retrieval_train_1.bin", "a_b_val_7.bin", "._val_7.bin"}), both);
  for (const char* stray : {"train.npy", "train_0.npy", "train1.bin", "train_.bin", "_train_0.bin",
                            "train_0.bin.part", "mytrain_0.bin", "train_a.bin", "Train.bin",
                            ".train.bin", "._train.bin", "backup_train.bin"})
    EXPECT_EQ(splits({"val.bin", stray}), std::vector<std::string>{"val"}) << stray;
}

TEST_F(ShardNamesTest, GoByNumberAndNotByLetter) {
  EXPECT_EQ(order(open({"train_10.bin", "train_2.bin", "train_1.bin"}), "train"),
            (std::vector<int64_t>{2, 1, 0}));
  EXPECT_EQ(order(open({"x_train_0010.bin", "x_train_9.bin",
                        "x_train_99999999999999999999999999.bin", "x_train_0.bin"}),
                  "train"),
            (std::vector<int64_t>{3, 1, 0, 2}));
}

TEST_F(ShardNamesTest, OfTwoKindsAreRefusedAndNamed) {
  EXPECT_THAT(refusal({"train.bin", "train_000000.bin"}),
              HasSubstr("There are train.bin and train_000000.bin"));
  EXPECT_THAT(refusal({"a_val_1.bin", "b_val_2.bin"}), HasSubstr("a_val_1.bin and b_val_2.bin"));
  EXPECT_THAT(refusal({"train_1.bin", "a_train_2.bin"}),
              HasSubstr("train_1.bin and a_train_2.bin"));
  EXPECT_THAT(refusal({"train_1.bin", "train_01.bin"}), HasSubstr("train_01.bin and train_1.bin"));
  spill(temp_ / "data/x/a_train_0.npy", "");
  spill(temp_ / "data/x/a_train_0.bin", "");
  fs::remove(temp_ / "data/x/train_1.bin"), fs::remove(temp_ / "data/x/train_01.bin");
  EXPECT_THAT(caught([] { Corpus::open("x"); }).what(),
              HasSubstr("There are a_train_0.bin and a_train_0.npy"));
}

TEST_F(ShardNamesTest, WhatWasTakenAndWhatWasLeftIsSaid) {
  EXPECT_EQ(open({"train.bin", "val.bin"}).notices(),
            (std::vector<std::string>{"took train.bin (3 tokens), val.bin (3 tokens)"}));
  EXPECT_EQ(open({"train_1.bin", "train_2.bin", "val.bin", "._val.bin", "backup.bin"}).notices(),
            (std::vector<std::string>{
                "took train_1.bin to train_2.bin, 2 shards (6 tokens), val.bin (3 tokens)",
                "left alone: ._val.bin, backup.bin"}));
  fs::copy_file(temp_ / "data/x/val.bin", temp_ / "data/x/val_copy.bin");
  fs::remove(temp_ / "data/x/val.bin");
  fs::create_symlink("train_2.bin", temp_ / "data/x/val.bin");
  EXPECT_THAT(Corpus::open("x").notices()[1], HasSubstr("val.bin is a copy of a shard of train"));
  EXPECT_THAT(refusal({"train.npy", "odd\x1b.bin"}), HasSubstr(", only odd\\x1b.bin, train.npy"));
  fs::create_directories(temp_ / "data/strays");
  spill(temp_ / "data/strays/._train.bin", "xx");
  EXPECT_THAT(prepared_corpora(), ::testing::Not(::testing::Contains("strays")));
}

TEST_F(ShardNamesTest, HaveTheTokenizerThatLiesBesideThem) {
  const std::string alone = open({"train.bin", "val.bin"}).fingerprint();
  EXPECT_EQ(Corpus::open("x").tokenizer(), nullptr);
  const std::string file = temp_ / "data/x/tokenizer.json";
  spill(file, tokenizer_json_text(read_bpe_vocabulary("#version: 0.2\n", "bytes")));
  const Corpus corpus = Corpus::open("x");
  ASSERT_NE(corpus.tokenizer(), nullptr);
  EXPECT_EQ(corpus.tokenizer()->encode("\"!"), (std::vector<uint32_t>{1, 0}));
  EXPECT_EQ(corpus.vocab_size(), corpus.tokenizer()->vocab_size());
  EXPECT_NE(corpus.fingerprint(), alone) << "ids mean something now";
  EXPECT_THAT(corpus.notices()[0], HasSubstr(", tokenizer.json (vocabulary 25"));
  write_shard(temp_ / "data/x/val.bin", {1, 300});
  EXPECT_THAT(caught([] { Corpus::open("x"); }).what(),
              HasSubstr("val.bin has token 300 at offset 1, outside the vocabulary of 25"));
  spill(file, "{}");
  EXPECT_THAT(caught([] { Corpus::open("x"); }).what(), HasSubstr("tokenizer.json"));
}

TEST_F(ShardNamesTest, HaveTheVocabularyOfNanoGptsMetaPkl) {
  open({"train.bin", "val.bin"});
  const auto take = [&](const std::string& name) {
    fs::copy_file(testing::source_path("tests/golden/meta_pickle/" + name + ".pkl"),
                  temp_ / "data/x/meta.pkl", fs::copy_options::overwrite_existing);
    return Corpus::open("x");
  };
  const Corpus letters = take("protocol4");
  ASSERT_NE(letters.tokenizer(), nullptr);
  EXPECT_EQ(letters.tokenizer()->kind(), "char");
  EXPECT_THAT(letters.notices()[0], HasSubstr(", meta.pkl (vocabulary 10)"));
  const Corpus ids = take("size_alone");
  EXPECT_EQ(ids.tokenizer(), nullptr);
  EXPECT_EQ(ids.vocab_size(), 50257);
  write_shard(temp_ / "data/x/val.bin", {1, 300});
  EXPECT_THAT(caught([&] { take("protocol4"); }).what(), HasSubstr("outside the vocabulary of 10"));
  write_shard(temp_ / "data/x/val.bin", {1, 2});
  const Corpus words = take("words");
  EXPECT_EQ(words.tokenizer(), nullptr);
  EXPECT_EQ(words.vocab_size(), 300);
  EXPECT_THAT(words.notices()[1], HasSubstr("its ids have no text: in meta.pkl itos has other"));
  // Not as many ids as GPT-2's in place of those that the file has.
  for (const char* bytes : {"", "cos\nsystem\n.", "\x80\x04}"}) {
    spill(temp_ / "data/x/meta.pkl", bytes);
    EXPECT_THAT(caught([] { Corpus::open("x"); }).what(), HasSubstr("x/meta.pkl is "));
  }
}

// NumPy's header is padded to a multiple of 64; nobody has to.
TEST_F(ShardNamesTest, OfNumPyFilesAreTheNotebooksShards) {
  const auto npy = [](const std::vector<uint16_t>& ids, size_t padding) {
    const std::string dictionary = "{'descr': '<u2', 'fortran_order': False, 'shape': (" +
                                   std::to_string(ids.size()) + ",), }" +
                                   std::string(padding, ' ') + "\n";
    std::string file = std::string("\x93NUMPY\x01\x00", 8);
    file += static_cast<char>(dictionary.size() % 256);
    file += static_cast<char>(dictionary.size() / 256);
    file += dictionary;
    file.append(reinterpret_cast<const char*>(ids.data()), 2 * ids.size());
    return file;
  };
  const std::string folder = temp_ / "data/edu_fineweb10B";
  fs::create_directories(folder);
  spill(folder + "/edufineweb_val_000000.npy", npy({50256, 7, 8}, 0));
  spill(folder + "/edufineweb_train_000001.npy", npy({50256, 1}, 1));
  spill(folder + "/edufineweb_train_000002.npy", npy({2, 3, 4, 5}, 40));
  const Corpus corpus = Corpus::open("edu_fineweb10B");
  EXPECT_EQ(order(corpus, "train"), (std::vector<int64_t>{50256, 2}));
  EXPECT_EQ(all_tokens(corpus.shards("val")[0]), (std::vector<int64_t>{50256, 7, 8}));
  EXPECT_EQ(corpus.vocab_size(), 0) << "GPT-2's is taken unless --vocab_size says another";
  EXPECT_THAT(corpus.notices()[0], HasSubstr("edufineweb_train_000001.npy to "
                                             "edufineweb_train_000002.npy, 2 shards (6 tokens)"));
}

TEST_F(ShardNamesTest, OfAFolderOrAPipeAreNoShards) {
  open({"val.bin"});
  fs::create_directories(temp_ / "data/x/train.bin");
  EXPECT_THAT(caught([] { Corpus::open("x"); }).what(), HasSubstr("train.bin: it is a folder"));
  fs::remove(temp_ / "data/x/train.bin");
  ASSERT_EQ(::mkfifo((temp_ / "data/x/train.bin").c_str(), 0600), 0);
  EXPECT_THAT(caught([] { Corpus::open("x"); }).what(), HasSubstr("a device or a pipe"));
  fs::remove(temp_ / "data/x/train.bin");
  fs::create_symlink("nothing", temp_ / "data/x/train.bin");
  EXPECT_THAT(caught([] { Corpus::open("x"); }).what(), HasSubstr("train.bin"));
}

// In the second shard of the second split: no window need be drawn.
TEST_F(ShardNamesTest, AnIdOutsideTheVocabularyIsFoundWhereverItStands) {
  open({"train.bin", "val_0.bin", "val_1.bin"});
  std::vector<uint32_t> ids(700'000, 7);
  ids[699'999] = 300;
  write_shard(temp_ / "data/x/val_1.bin", ids);
  Corpus corpus = Corpus::open("x");
  EXPECT_NO_THROW(corpus.assume_vocab_size(301));
  const Error error = caught([&] { corpus.assume_vocab_size(300); });
  EXPECT_THAT(error.what(),
              HasSubstr("val_1.bin has token 300 at offset 699999, outside the vocabulary of 300"));
  EXPECT_THAT(error.hint(), HasSubstr("--vocab_size"));
}

TEST_F(ShardNamesTest, ATextInAShardsPlaceIsRefused) {
  open({"val.bin"});
  spill(temp_ / "data/x/train.bin", "To be, or not to be, that is the question");
  const Error error = caught([] { Corpus::open("x"); });
  EXPECT_THAT(error.what(),
              HasSubstr("train.bin is no shard of uint16 ids: it seems to be a text"));
  EXPECT_EQ(error.hint(), "`fathom prepare FILE`");
  spill(temp_ / "data/x/train.bin", "To be, or not to be, that is the question!");
  EXPECT_THAT(caught([] { Corpus::open("x"); }).what(), HasSubstr("it seems to be a text"));
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
  EXPECT_THAT(with("/splits/val/0/file", "train.bin"), HasSubstr("names train.bin twice"));
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
