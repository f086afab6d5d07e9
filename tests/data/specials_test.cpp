// "<|endoftext|>" in texts, and what Windows leaves in them, through tokenizers and preparations.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <nlohmann/json.hpp>

#include "data/data_testing.h"
#include "fathom/data/bpe.h"
#include "fathom/data/prepare.h"
#include "fathom/data/split_tokens.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::slurp;
using testing::spill;

const std::string kMark = kEndOfText;

std::unique_ptr<Tokenizer> pairs_of_rain() {
  return make_bpe_tokenizer("bpe", train_bpe("the rain falls, the rain", 270));
}

TEST(Specials, AreTokensWhereTheTokenizerHasThem) {
  const auto pairs = pairs_of_rain();
  const uint32_t end = *pairs->end_of_text();
  EXPECT_THAT(encode_with_specials(*pairs, kMark + "q" + kMark), ElementsAre(end, 'q', end));
  EXPECT_THAT(encode_with_specials(*pairs, "<|endof"), ::testing::SizeIs(7));
  EXPECT_EQ(encode_with_specials(*make_byte_tokenizer(), kMark).size(), kMark.size());
  EXPECT_EQ(count_specials("a" + kMark + kMark + "<|endoftext|"), 2u);
}

// What stands in some files, split anywhere.
class SplitTokensTest : public testing::DataTest {
 protected:
  std::vector<uint32_t> written(const Tokenizer& tokenizer, Specials specials,
                                const std::vector<std::string>& parts) {
    SplitTokens tokens(tokenizer, specials,
                       SplitWriter(temp_ / "", "train", ShardFormat::kNanoGpt, 1 << 26));
    for (const std::string& part : parts) tokens.text(part);
    tokens.end();
    specials_ = tokens.specials();
    if (tokens.writer().size() == 0) return {};
    tokens.writer().finish();
    const std::vector<int64_t> ids = testing::all_tokens(TokenShard(temp_ / "train.bin"));
    return {ids.begin(), ids.end()};
  }
  uint64_t specials_ = 0;
};

TEST_F(SplitTokensTest, ATextInPartsIsTheTextInOnePiece) {
  const auto pairs = pairs_of_rain();
  const auto words = rc::gen::element<std::string>("the rain", " ", "\n", "<|endoftext", "|>",
                                                   kMark, "<", "falls", "é");
  ASSERT_TRUE(rc::check([&] {
    const auto pieces = *rc::gen::container<std::vector<std::string>>(words);
    std::string text;
    for (const std::string& piece : pieces) text += piece;
    RC_ASSERT(written(*pairs, Specials::kTokens, pieces) == encode_with_specials(*pairs, text));
    RC_ASSERT(specials_ == count_specials(text));
    RC_ASSERT(written(*pairs, Specials::kText, pieces) == pairs->encode(text));
    RC_ASSERT(specials_ == 0u);
    RC_ASSERT(written(*make_byte_tokenizer(), Specials::kTokens, pieces) ==
              make_byte_tokenizer()->encode(text));
    RC_ASSERT(specials_ == count_specials(text));
  }));
}

// More than waits at a time, with the mark across the places where parts end.
TEST_F(SplitTokensTest, LongTextsAreCutBesideSpecials) {
  const auto pairs = pairs_of_rain();
  std::string text;
  while (text.size() < (5u << 20)) text += std::string(99991, text.size() % 2 ? 'x' : 'y') + kMark;
  std::vector<std::string> parts;
  for (size_t at = 0; at < text.size(); at += 65521) parts.push_back(text.substr(at, 65521));
  EXPECT_TRUE(written(*pairs, Specials::kTokens, parts) == encode_with_specials(*pairs, text));
  EXPECT_EQ(specials_, count_specials(text));
}

class PrepareSpecials : public testing::DataTest {
 protected:
  PrepareOptions options(const std::string& text, const std::string& name) {
    spill(temp_ / (name + ".txt"), text);
    PrepareOptions o;
    o.what = temp_ / (name + ".txt");
    o.tokenizer = "bpe";
    o.vocab_size = 300;
    return o;
  }
  // The split's text, and how many of its tokens end one.
  static std::pair<std::string, int64_t> read(const std::string& name, const std::string& split) {
    const Corpus corpus = Corpus::open(name);
    const std::vector<int64_t> tokens = testing::all_tokens(corpus.shards(split)[0]);
    const int64_t end = *corpus.tokenizer()->end_of_text();
    return {corpus.tokenizer()->decode(std::vector<uint32_t>(tokens.begin(), tokens.end())),
            std::count(tokens.begin(), tokens.end(), end)};
  }
};

TEST_F(PrepareSpecials, InATextTheyBecomeTokensOrStayText) {
  std::string text;
  for (int i = 0; i < 40; ++i)
    text += "the rain falls on hill " + std::to_string(i % 7) + "\n" + kMark;
  const PrepareReport report = prepare(options(text, "marked"));
  EXPECT_THAT(report.notices,
              ElementsAre(AllOf(HasSubstr("<|endoftext|> stands in the text 40 times"),
                                HasSubstr("--specials=text"))));
  const auto [train, ends] = read("marked", "train");
  const auto [val, more_ends] = read("marked", "val");
  EXPECT_EQ(train + val, text);
  EXPECT_EQ(ends + more_ends, 40);
  for (const std::string& token :
       bpe_vocabulary_from_json(Corpus::open("marked").tokenizer()->to_json()).tokens)
    EXPECT_EQ(token.find("endof"), token.npos) << "no pair is made of it";

  PrepareOptions as_text = options(text, "plain");
  as_text.specials = "text";
  EXPECT_THAT(prepare(as_text).notices, IsEmpty());
  EXPECT_EQ(read("plain", "train").second, 0);
  EXPECT_EQ(read("plain", "train").first + read("plain", "val").first, text);
  as_text.specials = "tokens";
  EXPECT_THAT(testing::caught([&] { prepare(as_text); }).what(), HasSubstr("a different corpus"))
      << "another recipe";
}

TEST_F(PrepareSpecials, WhereNoTokenIsForThemItIsToldThatTheyStayText) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "rain\n" + kMark;
  for (const char* tokenizer : {"byte", "char"}) {
    PrepareOptions o = options(text, tokenizer);
    o.tokenizer = tokenizer;
    EXPECT_THAT(prepare(o).notices,
                ElementsAre(AllOf(HasSubstr("<|endoftext|> stands in the text 40 times, as its "
                                            "letters, for the " +
                                            std::string(tokenizer) + " tokenizer has no token"),
                                  HasSubstr("--tokenizer=bpe or gpt2 has"))));
    const Corpus corpus = Corpus::open(tokenizer);
    const std::vector<int64_t> tokens = testing::all_tokens(corpus.shards("train")[0]);
    const std::string train =
        corpus.tokenizer()->decode(std::vector<uint32_t>(tokens.begin(), tokens.end()));
    EXPECT_EQ(train, text.substr(0, train.size()));
  }
  // Where letters were asked for there is nothing to tell.
  PrepareOptions o = options(text, "letters");
  o.tokenizer = "byte";
  o.specials = "text";
  EXPECT_THAT(prepare(o).notices, Not(Contains(HasSubstr("stands in the text"))));
}

TEST_F(PrepareSpecials, InRowsToo) {
  std::string lines;
  for (int i = 0; i < 30; ++i)
    lines += nlohmann::json{{"text", "the rain " + kMark + " falls"}}.dump() + "\n";
  spill(temp_ / "d.jsonl", lines);
  PrepareOptions o;
  o.what = temp_ / "d.jsonl";
  o.tokenizer = "byte";
  EXPECT_THAT(prepare(o).notices,
              Contains(HasSubstr("<|endoftext|> stands in the text 30 times, as its letters")));
}

// The cut between the splits is not within one.
TEST_F(PrepareSpecials, TheSplitsAreCutBesideThem) {
  const std::string text = std::string(85, 'a') + kMark + "bb";  // 100 bytes, 90 to train on
  prepare(options(text, "cut"));
  EXPECT_EQ(read("cut", "train"), (std::pair{std::string(85, 'a') + kMark, int64_t{1}}));
  EXPECT_EQ(read("cut", "val").first, "bb");
}

TEST_F(PrepareSpecials, InDocumentsToo) {
  std::string lines;
  for (int i = 0; i < 30; ++i)
    lines += nlohmann::json{{"text", "the rain " + kMark + " falls\r\n"}}.dump() + "\n";
  spill(temp_ / "d.jsonl", lines);
  PrepareOptions o;
  o.what = "fineweb";
  o.input = temp_ / "d.jsonl";
  o.tokenizer = "bpe";
  o.vocab_size = 270;
  o.val_fraction = 0.3;
  const PrepareReport report = prepare(o);
  EXPECT_THAT(report.notices, Contains(HasSubstr("<|endoftext|> stands in the text 30 times")));
  EXPECT_THAT(report.notices, Contains(HasSubstr("30 lines end in CRLF")));
  EXPECT_EQ(read("fineweb", "train").second + read("fineweb", "val").second, 60)
      << "and one behind each document";
}

TEST_F(PrepareSpecials, OfRowsThatStayRowsTheyAreAlwaysTokens) {
  std::string lines;
  for (int i = 0; i < 30; ++i)
    lines += R"({"prompt": "rain", "truth": "yes"})"
             "\n";
  spill(temp_ / "rows.jsonl", lines);
  PrepareOptions o;
  o.what = temp_ / "rows.jsonl";
  o.tokenizer = "bpe";
  o.vocab_size = 270;
  o.specials = "text";
  EXPECT_THAT(testing::caught([&] { prepare(o); }).what(),
              HasSubstr("specials = text has no meaning for the rows"));
}

TEST_F(PrepareSpecials, WhatWindowsLeavesIsToldAndStays) {
  std::string text = "\xEF\xBB\xBF";
  for (int i = 0; i < 30; ++i) text += i < 20 ? "rain\r\n" : "hill\r \n";
  PrepareOptions o = options(text, "windows");
  o.tokenizer = "char";
  EXPECT_THAT(prepare(o).notices,
              ElementsAre(HasSubstr("byte order mark"), AllOf(HasSubstr("20 lines end in CRLF"),
                                                              HasSubstr("sed 's/\\r$//' FILE"))));
  const Corpus corpus = Corpus::open("windows");
  const std::vector<int64_t> tokens = testing::all_tokens(corpus.shards("train")[0]);
  const std::vector<uint32_t> ids(tokens.begin(), tokens.end());
  EXPECT_EQ(corpus.tokenizer()->decode(ids).substr(0, 6), "rain\r\n");
}

}  // namespace
}  // namespace fathom
