// Corpora of documents: openwebtext, fineweb, wikitext, wikipedia, from files and from a server.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/data_testing.h"
#include "data/loopback_server.h"
#include "fathom/data/bpe.h"
#include "fathom/data/document_files.h"
#include "fathom/data/prepare.h"
#include "fathom/data/tokenizer_json.h"

namespace fs = std::filesystem;

namespace fathom::testing {
namespace {

using nlohmann::json;

std::string row(const std::string& text, const std::string& title = "") {
  json j = {{"text", text}, {"url", "x"}};
  if (!title.empty()) j["title"] = title;
  return j.dump() + "\n";
}

class PrepareDocuments : public DataTest {
 protected:
  // With byte pairs of a few merges, which stand in for GPT-2's.
  PrepareOptions options(const std::string& what, const std::vector<std::string>& files = {}) {
    if (!fs::exists(temp_ / "pairs.json"))
      spill(temp_ / "pairs.json",
            tokenizer_json_text(train_bpe("the rain falls on the hill, the rain", 270)));
    PrepareOptions o;
    o.what = what;
    o.tokenizer = "bpe";
    o.vocabulary = temp_ / "pairs.json";
    o.val_fraction = 0.54;  // of the first four draws, two are below it
    o.timeout = 2;
    if (!files.empty()) o.input = files.front();
    if (files.size() > 1) o.more_inputs = {files.begin() + 1, files.end()};
    return o;
  }
  std::string file(const std::string& name, const std::string& content) {
    spill(temp_ / name, content);
    return temp_ / name;
  }
  // The texts of a split, cut where <|endoftext|> is.
  static std::vector<std::string> documents(const std::string& corpus, const std::string& split) {
    const Corpus opened = Corpus::open(corpus);
    std::string all;
    for (const TokenShard& shard : opened.shards(split))
      for (const int64_t token : all_tokens(shard)) {
        const auto id = static_cast<uint32_t>(token);
        all += opened.tokenizer()->decode({&id, 1});
      }
    std::vector<std::string> texts;
    const std::string end = "<|endoftext|>";
    for (size_t at = 0; at < all.size();) {
      const size_t next = all.find(end, at);
      texts.push_back(all.substr(at, next - at));
      at = next == all.npos ? all.size() : next + end.size();
    }
    return texts;
  }
  static json meta(const std::string& name) {
    return json::parse(slurp(Corpus::open(name).path() + "/meta.json"));
  }
};

TEST_F(PrepareDocuments, EveryDocumentIsInOneSplitAndEndsWithASeparator) {
  std::string rows;
  std::vector<std::string> texts;
  for (int i = 0; i < 60; ++i) {
    texts.push_back("the rain falls on hill " + std::to_string(i) + "\n\n");
    rows += row(texts.back());
  }
  const PrepareReport report = prepare(options("openwebtext", {file("a.jsonl", rows)}));
  EXPECT_EQ(report.name, "openwebtext");
  EXPECT_EQ(report.tokenizer, "bpe");
  std::vector<std::string> train = documents("openwebtext", "train"),
                           val = documents("openwebtext", "val");
  EXPECT_NEAR(double(val.size()), 32, 12);
  EXPECT_EQ(meta("openwebtext")["text"]["documents"], 60);
  train.insert(train.end(), val.begin(), val.end());
  std::sort(train.begin(), train.end());
  std::sort(texts.begin(), texts.end());
  EXPECT_EQ(train, texts);
  const Corpus corpus = Corpus::open("openwebtext");
  EXPECT_EQ(all_tokens(corpus.shards("train").back()).back(), corpus.vocab_size() - 1);
  EXPECT_TRUE(prepare(options("openwebtext", {temp_ / "a.jsonl"})).already_prepared);
}

TEST_F(PrepareDocuments, AWordThatChangesIsAnotherCorpus) {
  const std::string rows = row("one") + row("two") + row("three") + row("four") + row("five");
  const PrepareOptions o = options("fineweb", {file("a.jsonl", rows)});
  prepare(o);
  file("a.jsonl", rows + row("six"));
  EXPECT_THAT(caught([&] { prepare(o); }).what(), HasSubstr("already holds a different corpus"));
  PrepareOptions forced = o;
  forced.force = true;
  EXPECT_FALSE(prepare(forced).already_prepared);
  EXPECT_EQ(meta("fineweb")["text"]["documents"], 6);
}

TEST_F(PrepareDocuments, WikipediaHasTitles) {
  const std::string rows = row("It falls.", "Rain") + row("It stands.", "Hill") +
                           row("It rises.", "River") + row("It blows.", "Wind");
  prepare(options("wikipedia", {file("a.jsonl", rows)}));
  std::vector<std::string> all = documents("wikipedia", "train");
  for (const std::string& text : documents("wikipedia", "val")) all.push_back(text);
  EXPECT_THAT(all,
              ::testing::UnorderedElementsAre("Title: Rain\nIt falls.", "Title: Hill\nIt stands.",
                                              "Title: River\nIt rises.", "Title: Wind\nIt blows."));
}

// Longer than what is encoded at a time, so that the cuts show.
TEST_F(PrepareDocuments, WikitextIsItsThreeFilesAsTheyAre) {
  std::string train = " = Rain = \n \n";
  for (int i = 0; train.size() < (5 << 20); ++i)
    train += "The rain @-@ storm of " + std::to_string(i) + " fell  \n\n on the hill .\n";
  const std::string val = " = Valid = \n a text \n", test = " = Test = \n another \n";
  const PrepareReport report =
      prepare(options("wikitext", {file("wiki.train.tokens", train), file("wiki.valid.tokens", val),
                                   file("wiki.test.tokens", test)}));
  EXPECT_EQ(report.splits.size(), 3u);
  EXPECT_EQ(documents("wikitext", "val"), std::vector{val});
  EXPECT_EQ(documents("wikitext", "test"), std::vector{test});
  const Corpus corpus = Corpus::open("wikitext");
  const std::vector<uint32_t> whole = corpus.tokenizer()->encode(train);
  std::vector<int64_t> tokens;
  for (const TokenShard& shard : corpus.shards("train"))
    for (const int64_t token : all_tokens(shard)) tokens.push_back(token);
  EXPECT_EQ(tokens, std::vector<int64_t>(whole.begin(), whole.end()));

  EXPECT_THAT(caught([&] { prepare(options("wikitext", {file("articles.txt", val)})); }).what(),
              HasSubstr("does not say whether it is for training"));
  PrepareOptions one = options("wikitext", {temp_ / "wiki.train.tokens"});
  one.name = "one";
  EXPECT_THAT(caught([&] { prepare(one); }).what(), HasSubstr("the split val gets none"));
}

TEST_F(PrepareDocuments, AFoldersFilesAreTakenInOrder) {
  fs::create_directories(temp_ / "parts");
  file("parts/b.jsonl", row("third") + row("fourth"));
  file("parts/a.jsonl", row("first") + row("second"));
  file("parts/README.md", "no rows");
  file("parts/.hidden.jsonl", "no rows");
  prepare(options("fineweb", {temp_ / "parts"}));
  std::vector<std::string> all = documents("fineweb", "train");
  for (const std::string& text : documents("fineweb", "val")) all.push_back(text);
  EXPECT_THAT(all, ::testing::UnorderedElementsAre("first", "second", "third", "fourth"));
  fs::create_directories(temp_ / "none");
  EXPECT_THAT(caught([&] { prepare(options("fineweb", {temp_ / "none"})); }).what(),
              HasSubstr("holds none of the files"));
}

TEST_F(PrepareDocuments, BytePairsAreMadeOfTheTrainingText) {
  std::string rows;
  for (int i = 0; i < 40; ++i) rows += row("the rain falls on the hill and the river rises");
  PrepareOptions o = options("fineweb", {file("a.jsonl", rows)});
  o.vocabulary.clear();
  o.vocab_size = 265;
  const PrepareReport report = prepare(o);
  EXPECT_EQ(report.vocab_size, 265);
  EXPECT_THAT(report.notices, ::testing::Contains(HasSubstr("byte pairs are made of the first")));
  o.tokenizer = "byte";
  o.name = "bytes";
  EXPECT_EQ(prepare(o).vocab_size, 256);
  o.tokenizer = "char";
  EXPECT_THAT(caught([&] { prepare(o); }).what(), HasSubstr("char has no meaning for fineweb"));
}

TEST_F(PrepareDocuments, ShardsAreTakenAsTheyAre) {
  const char* vocabulary = std::getenv("FATHOM_GPT2_VOCABULARY");
  write_shard(temp_ / "edu_fineweb_val_000000.bin", counting(300), ShardFormat::kLlmC);
  write_shard(temp_ / "edu_fineweb_train_000001.bin", counting(500, 50'000 - 500),
              ShardFormat::kLlmC);
  PrepareOptions o = options(
      "fineweb", {temp_ / "edu_fineweb_val_000000.bin", temp_ / "edu_fineweb_train_000001.bin"});
  EXPECT_THAT(caught([&] { prepare(o); }).what(), HasSubstr("bpe has no meaning for shards"));
  o.more_inputs.push_back(file("a.jsonl", row("a")));
  EXPECT_THAT(caught([&] { prepare(o); }).what(), HasSubstr("some are texts"));
  if (vocabulary == nullptr) GTEST_SKIP() << "FATHOM_GPT2_VOCABULARY names no file";
  o.more_inputs.pop_back();
  o.tokenizer = "auto";
  o.vocabulary = vocabulary;
  const PrepareReport report = prepare(o);
  EXPECT_EQ(report.tokenizer, "gpt2");
  EXPECT_EQ(Corpus::open("fineweb").tokens("train"), 500u);
  EXPECT_EQ(all_tokens(Corpus::open("fineweb").shards("val").front()).back(), 299);
}

TEST_F(PrepareDocuments, WhatIsGivenIsChecked) {
  const std::string rows = file("a.jsonl", row("a"));
  EXPECT_THAT(caught([&] { prepare(options("fineweb", {temp_ / "nowhere.jsonl"})); }).what(),
              HasSubstr("there is no file"));
  PrepareOptions plain = options("shakespeare_char");
  plain.tokenizer = "auto";
  plain.vocabulary.clear();
  plain.more_inputs = {rows};
  EXPECT_THAT(caught([&] { prepare(plain); }).what(), HasSubstr("unexpected word"));
  const Error few = caught([&] { prepare(options("fineweb", {rows})); });
  EXPECT_THAT(few.what(), HasSubstr("of 1 documents the split"));
  EXPECT_FALSE(fs::exists(temp_ / "data/fineweb"));
  EXPECT_EQ(prepared_corpora().size(), 0u);
}

TEST_F(PrepareDocuments, ADownloadIsPrepared) {
  std::string rows;
  for (int i = 0; i < 20; ++i) rows += row("the rain falls on hill " + std::to_string(i));
  LoopbackServer server(LoopbackServer::ok(rows));
  PrepareOptions o = options("fineweb");
  o.url = server.url("part-0.jsonl");
  o.max_bytes = static_cast<int64_t>(rows.size()) - 1;
  EXPECT_THAT(caught([&] { prepare(o); }).what(), HasSubstr("max_bytes is"));
  o.max_bytes = 1 << 20;
  const PrepareReport report = prepare(o);
  EXPECT_EQ(meta("fineweb")["text"]["documents"], 20);
  EXPECT_THAT(report.notices, ::testing::Contains(HasSubstr("data/downloads/fineweb")));
  EXPECT_TRUE(prepare(o).already_prepared);
  EXPECT_EQ(server.requests(), 2) << "what was fetched stays";
  EXPECT_THAT(prepared_corpora(), ::testing::ElementsAre("fineweb"));

  o.url = "http://127.0.0.1:1/other.jsonl";
  const Error error = caught([&] { prepare(o); });
  EXPECT_THAT(error.what(), HasSubstr("cannot download http://127.0.0.1:1/"));
  EXPECT_THAT(error.hint(), HasSubstr("`fathom prepare fineweb --input FILE ...`"));
}

TEST_F(PrepareDocuments, AnotherAddressIsAnotherFile) {
  std::string rows, others;
  for (int i = 0; i < 20; ++i) rows += row("the rain falls"), others += row("the river rises");
  const LoopbackServer server([&](const std::string& request) {
    return LoopbackServer::ok(request.find("GET /b/") == request.npos ? rows : others);
  });
  PrepareOptions o = options("fineweb");
  o.url = server.url("a/train.jsonl");
  prepare(o);
  EXPECT_EQ(documents("fineweb", "train").front(), "the rain falls");
  o.force = true;
  for (const char* other : {"b/train.jsonl", "b/train.jsonl?version=2"}) {
    o.url = server.url(other);
    prepare(o);
    EXPECT_EQ(documents("fineweb", "train").front(), "the river rises");
  }
  EXPECT_EQ(server.requests(), 3);
}

TEST_F(PrepareDocuments, OneAddressIsNotThreeSplits) {
  PrepareOptions o = options("wikitext");
  o.url = "http://127.0.0.1:1/train.parquet";
  EXPECT_THAT(caught([&] { prepare(o); }).what(), HasSubstr("--url names one file, and wikitext"));
}

// The first files that fit, also of those that an earlier call left there; and it is said.
TEST_F(PrepareDocuments, AsManyFilesAsFitAreTakenAndSaid) {
  std::string rows;
  for (int i = 0; i < 20; ++i) rows += row("the rain falls on hill " + std::to_string(i));
  const LoopbackServer server(LoopbackServer::ok(rows));
  KnownCorpus known = *find_known_corpus("fineweb");
  known.parts = {{server.url("0.jsonl")}, {server.url("1.jsonl")}, {server.url("2.jsonl")}};
  PrepareOptions o = options("fineweb");
  const auto taken = [&](uint64_t max_bytes, std::vector<std::string>* notices = nullptr) {
    o.max_bytes = static_cast<int64_t>(max_bytes);
    std::vector<std::string> said;
    const size_t n = document_files(o, known, {}, notices != nullptr ? *notices : said).size();
    return n;
  };
  std::vector<std::string> notices;
  EXPECT_EQ(taken(2 * rows.size() + 5, &notices), 2u);
  EXPECT_THAT(notices, ::testing::Contains(HasSubstr("took the first 2 of 3 files")));
  notices.clear();
  EXPECT_EQ(taken(3 * rows.size(), &notices), 3u);
  EXPECT_THAT(notices, ::testing::Not(::testing::Contains(HasSubstr("took the first"))));
  EXPECT_EQ(taken(rows.size(), &notices), 1u) << "though the others are there";
  EXPECT_THAT(notices, ::testing::Contains(HasSubstr("took the first 1 of 3 files")));
}

TEST_F(PrepareDocuments, AMissingVocabularyIsToldBeforeAnythingIsFetched) {
  const LoopbackServer server(LoopbackServer::ok(row("the rain falls")));
  PrepareOptions o = options("fineweb");
  o.url = server.url("part.jsonl");
  o.vocabulary = temp_ / "nowhere.json";
  EXPECT_ANY_THROW(prepare(o));
  EXPECT_EQ(server.requests(), 0);
}

TEST_F(PrepareDocuments, EveryKnownCorpusSaysWhereItIs) {
  for (const KnownCorpus& corpus : known_corpora()) {
    if (!corpus.has_documents) continue;
    EXPECT_FALSE(corpus.parts.empty()) << corpus.name;
    for (const CorpusPart& part : corpus.parts) {
      EXPECT_EQ(part.url.rfind("https://", 0), 0u) << part.url;
      EXPECT_EQ(part.split.empty(), !corpus.has_splits) << part.url;
    }
    EXPECT_GT(corpus.val_fraction, 0) << corpus.name;
  }
}

}  // namespace
}  // namespace fathom::testing
