// Rows of generated examples: their columns against what the examples say of themselves.
#include <cmath>

#include "data/numbers/numbers_data_testing.h"
#include "fathom/data/make_data_set.h"

namespace fathom {
namespace {

using testing::caught;
using testing::column;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::NumbersDataTest;

// All operands are -4; the operation that is executed first is the inner one.
TEST_F(NumbersDataTest, ColumnsAreTheProgramOfTheText) {
  config_.depth = 2;
  config_.label_depth = 3;
  config_.value_range = {-4, -3.9};
  config_.max_decimals = 0;
  config_.operations = "subtract, multiply";
  config_.min_operations = 2;
  int64_t sequence = 0;
  while (sequence < 100 && example(static_cast<uint64_t>(sequence)).text != "-4 * (-4 - -4) = 0")
    ++sequence;
  const TokenBatch batch = row(sequence);
  EXPECT_EQ(text_of(batch.tokens), "-4 * (-4 - -4) = 0\n");
  EXPECT_EQ(batch.T, 19);
  EXPECT_EQ(marks(column(batch, kSupervised)), ".............111111");
  EXPECT_EQ(marks(column(batch, kResult)), "................11.");
  WholeNumbers following(batch.tokens.begin() + 1, batch.tokens.end());
  following.push_back(-1);
  EXPECT_EQ(batch.targets, following);
  EXPECT_THAT(real_column(batch, kProgramSign), ElementsAre(-1, -1, -1, 1));
  const double ln4 = std::log(4.0), ln0 = std::log(1e-8);
  EXPECT_THAT(real_column(batch, kProgramLog), ElementsAre(ln4, ln4, ln4, ln0));
  EXPECT_THAT(column(batch, kProgramUsed), ElementsAre(1, 1, 1, 0));
  EXPECT_THAT(column(batch, kProgramOp), ElementsAre(4, 1, 2)) << "identity, subtract, multiply";
  EXPECT_THAT(real_column(batch, kProgramValue), ElementsAre(0));
  EXPECT_THAT(column(batch, kProgramReal), ElementsAre(2));
  EXPECT_THAT(column(batch, kProgramWording), ElementsAre(0));
  EXPECT_EQ(batch.find("answer"), nullptr) << "results are no words";
}

TEST_F(NumbersDataTest, WhatIsSupervisedIsBehindTheLastOperand) {
  config_.english_rate = 0.5;
  rows_.T = 512;
  for (int64_t i = 0; i < 200; ++i) {
    const NumberExample one = example(static_cast<uint64_t>(i));
    const TokenBatch batch = row(i);
    ASSERT_EQ(text_of(batch.tokens), one.text + "\n");
    const std::string supervised = marks(column(batch, kSupervised));
    ASSERT_EQ(supervised.find('1'), one.last_operand_end) << one.text;
    ASSERT_EQ(supervised.find('.', one.last_operand_end), std::string::npos);
    ASSERT_EQ(column(batch, kProgramWording).front(), static_cast<int64_t>(one.wording));
    // A character's target is the next one.
    ASSERT_EQ(marks(column(batch, kResult)).find('1'), one.result_begin - 1);
    ASSERT_DOUBLE_EQ(real_column(batch, kProgramValue).front(), one.value);
  }
}

TEST_F(NumbersDataTest, WithoutAResultTheLineBreakIsWhereTheProgramIsKnown) {
  config_.result_digits = 0;
  const TokenBatch batch = row(5);
  EXPECT_EQ(text_of(batch.tokens), example(5).text + "\n");
  EXPECT_EQ(column(batch, kSupervised).back(), 1);
  EXPECT_EQ(marks(column(batch, kResult)).find('1'), std::string::npos);
}

TEST_F(NumbersDataTest, NoProgramIsLearnedFromAPart) {
  const std::string text = example(0).text + "\n";
  rows_.T = static_cast<int64_t>(text.size());
  EXPECT_EQ(column(row(0), kSupervised).back(), 1);
  rows_.T -= 1;
  const TokenBatch cut = row(0);
  EXPECT_EQ(text_of(cut.tokens) + "\n", text);
  EXPECT_EQ(text_of({cut.targets.back()}), "\n") << "its tokens are learned";
  EXPECT_EQ(marks(column(cut, kSupervised)).find('1'), std::string::npos);
  EXPECT_EQ(marks(column(cut, kProgramUsed)), ".....");
  EXPECT_THAT(real_column(cut, kProgramSign), ElementsAre(0, 0, 0, 0, 0));
  EXPECT_EQ(column(cut, kProgramReal).front(), 0);
}

TEST_F(NumbersDataTest, ShuffledLabelsAreAnotherExamples) {
  const TokenBatch plain = row(3), other = row(4);
  config_.shuffle_labels = true;
  const TokenBatch shuffled = row(3);
  EXPECT_EQ(shuffled.tokens, plain.tokens);
  EXPECT_EQ(column(shuffled, kSupervised), column(plain, kSupervised));
  ASSERT_NE(real_column(other, kProgramLog), real_column(plain, kProgramLog));
  for (const char* name : {kProgramSign, kProgramLog, kProgramValue})
    EXPECT_EQ(real_column(shuffled, name), real_column(other, name));
  for (const char* name : {kProgramUsed, kProgramOp, kProgramReal, kProgramWording})
    EXPECT_EQ(column(shuffled, name), column(other, name));
}

TEST_F(NumbersDataTest, CountsWhatIsCut) {
  rows_.T = 20;
  double cut = 0;
  size_t longest = 0;
  for (uint64_t i = 0; i < 100; ++i) {
    cut += example(i).text.size() + 1 > 20;
    longest = std::max(longest, example(i).text.size() + 1);
  }
  EXPECT_DOUBLE_EQ(data().lengths(100).cut, cut / 100);
  EXPECT_EQ(data().lengths(100).longest, static_cast<int64_t>(longest));
  EXPECT_GT(cut, 0);
  EXPECT_LT(cut, 100);
  rows_.T = 512;
  EXPECT_EQ(data().lengths(100).cut, 0);
  config_.stream_share = 1;
  rows_.T = 20;
  EXPECT_EQ(data().lengths(100).cut, 0) << "a stream is no example";
}

TEST_F(NumbersDataTest, AStreamIsExamplesLineByLine) {
  config_.stream_share = 1;
  rows_.T = 100;
  rows_.ahead = 7;
  std::string text;
  for (uint64_t number = 0; text.size() < 108; ++number) text += example(4, number).text + "\n";
  const TokenBatch batch = row(4);
  EXPECT_EQ(batch.T, 100);
  EXPECT_EQ(text_of(batch.tokens), text.substr(0, 100));
  EXPECT_EQ(text_of(batch.targets), text.substr(1, 100));
  EXPECT_EQ(text_of(column(batch, "ahead")), text.substr(101, 7));
  for (const char* name : {kProgramUsed, kProgramOp, kProgramReal, kProgramWording, kSupervised})
    EXPECT_EQ(marks(column(batch, name)).find_first_not_of('.'), std::string::npos) << name;
  const std::string results = marks(column(batch, kResult));
  for (size_t t = 0; t < 100; ++t) {
    const size_t line = text.rfind('\n', t) == std::string::npos ? 0 : text.rfind('\n', t) + 1;
    const size_t equals = text.find(" = ", line);
    EXPECT_EQ(results[t] == '1', t + 1 >= equals + 3 && text[t] != '\n') << t;
  }
}

TEST_F(NumbersDataTest, SomeSequencesAreStreams) {
  config_.stream_share = 0.25;
  rows_.T = 128;
  int streams = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    const bool is_stream = NumberExamples(config_).is_stream("train", static_cast<uint64_t>(i));
    streams += is_stream;
    if (i < 50) {
      EXPECT_EQ(marks(column(row(i), kSupervised)).find('1') == std::string::npos, is_stream);
    }
  }
  EXPECT_NEAR(streams, 250, 55) << "four standard deviations";
}

TEST_F(NumbersDataTest, NothingFollowsAnExampleButWhatIsCutOff) {
  rows_.ahead = 2;
  EXPECT_THAT(column(row(0), "ahead"), ElementsAre(-1, -1));
  const std::string text = example(0).text + "\n";
  rows_.T = static_cast<int64_t>(text.size()) - 2;
  const WholeNumbers ahead = column(row(0), "ahead");
  EXPECT_EQ(text_of({ahead[0]}), "\n");
  EXPECT_EQ(ahead[1], -1);
}

TEST_F(NumbersDataTest, EachTokenizerReadsTheText) {
  EXPECT_EQ(tokenizer_->vocab_size(), 96);
  for (const char* kind : {"char", "byte"}) {
    tokenizer_ = numbers_tokenizer(kind);
    EXPECT_EQ(tokenizer_->vocab_size(), numbers_vocab_size(kind));
    EXPECT_EQ(text_of(row(1).tokens), example(1).text + "\n");
  }
  const Error missing = caught([] { numbers_tokenizer("gpt2"); });
  EXPECT_THAT(missing.what(), HasSubstr("needs GPT-2's vocabulary"));
  EXPECT_THAT(missing.hint(), HasSubstr("--tokenizer=gpt2"));
  EXPECT_EQ(numbers_vocab_size("gpt2"), 50257);
}

// Pairs that cross the places where a number, a result or the line ends, as GPT-2's do not.
TEST_F(NumbersDataTest, TokensOfSeveralCharactersAreMarkedByWhereTheyStand) {
  tokenizer_ = testing::byte_pairs({" =", "= ", " 1", " 2", "1\n"});
  for (int64_t i = 0; i < 50; ++i) {
    const NumberExample one = example(static_cast<uint64_t>(i));
    const TokenBatch batch = row(i);
    size_t end = 0, first = std::string::npos;
    for (size_t t = 0; t < batch.tokens.size(); ++t) {
      if (end >= one.last_operand_end && first == std::string::npos) first = t;
      end += text_of({batch.tokens[t]}).size();
    }
    ASSERT_EQ(end, one.text.size() + 1);
    ASSERT_EQ(marks(column(batch, kSupervised)).find('1'), first) << one.text;
    // The first target with a character of the result is the first one marked.
    const size_t marked = marks(column(batch, kResult)).find('1');
    size_t before = 0;
    for (size_t t = 0; t <= marked; ++t) before += text_of({batch.tokens[t]}).size();
    ASSERT_LE(before, one.result_begin);
    ASSERT_GT(before + text_of({batch.targets[marked]}).size(), one.result_begin);
  }
}

TEST_F(NumbersDataTest, PlacesThatAreNoneAreRefused) {
  EXPECT_THAT(caught([&] { row(-1); }).what(), HasSubstr("sequence -1"));
  EXPECT_THAT(caught([&] { row(INT64_MAX); }).what(), HasSubstr("does not exist"));
  rows_.T = 0;
  EXPECT_ANY_THROW(data());
}

class NumbersCorpus : public testing::DataTest {};

TEST_F(NumbersCorpus, HasNoFilesAndNoEnd) {
  const Corpus corpus = Corpus::generated({});
  EXPECT_EQ(corpus.name(), "numbers");
  EXPECT_EQ(corpus.path(), "");
  EXPECT_THAT(corpus.splits(), ElementsAre("test", "train", "val"));
  EXPECT_EQ(corpus.vocab_size(), 96);
  EXPECT_EQ(corpus.tokens("train"), 0U);
  EXPECT_FALSE(corpus.has_rows());
  EXPECT_EQ(corpus.rows("val"), nullptr);
  EXPECT_NO_THROW(require_block(corpus, 1 << 20));
  EXPECT_THAT(caught([&] { corpus.tokens("vol"); }).what(), HasSubstr("no split \"vol\""));
  EXPECT_THAT(caught([&] { corpus.shards("val"); }).what(), HasSubstr("generated"));
  EXPECT_TRUE(corpus.notices().empty());
  EXPECT_THAT(caught([] { Corpus::open("numbrs"); }).hint(), HasSubstr("did you mean numbers?"));
}

TEST_F(NumbersCorpus, ItsFingerprintIsOfWhatDecidesTheExamples) {
  const NumbersConfig config;
  const auto changed = [&](const auto& change) {
    NumbersConfig other = config;
    change(other);
    return Corpus::generated(other).fingerprint() != Corpus::generated(config).fingerprint();
  };
  using Config = NumbersConfig;
  EXPECT_TRUE(changed([](Config& c) { c.depth = 3; }));
  EXPECT_TRUE(changed([](Config& c) { c.label_depth = 6; }));
  EXPECT_TRUE(changed([](Config& c) { c.value_range = {-9, 10}; }));
  EXPECT_TRUE(changed([](Config& c) { c.max_digits = 2; }));
  EXPECT_TRUE(changed([](Config& c) { c.english_rate = 0; }));
  EXPECT_TRUE(changed([](Config& c) { c.val_seed = 5; }));
  EXPECT_TRUE(changed([](Config& c) { c.tokenizer = "byte"; }));
  EXPECT_TRUE(changed([](Config& c) { c.shuffle_labels = true; }));
  EXPECT_FALSE(changed([](Config& c) { c.depth = 4; })) << "what it is anyway";
  EXPECT_FALSE(changed([](Config& c) { c.evaluation_size = 9; }));
}

TEST_F(NumbersCorpus, AFolderOfItsNameIsAnotherCorpus) {
  testing::rows_corpus(temp_ / "data/numbers", {testing::answer("a", "b")}, *testing::byte_pairs());
  const std::vector<std::string> notices = Corpus::generated({}).notices();
  ASSERT_EQ(notices.size(), 1U);
  EXPECT_THAT(notices[0], HasSubstr("--dataset=" + (temp_ / "data/numbers")));
  EXPECT_TRUE(Corpus::open(temp_ / "data/numbers").has_rows());
}

TEST_F(NumbersCorpus, IsEvaluatedByItsFirstSequences) {
  NumbersConfig config;
  config.evaluation_size = 5;
  const Corpus corpus = Corpus::generated(config);
  DataOptions options;
  options.rows.T = 64;
  options.split = "val";
  const WholeSplit whole = whole_split(corpus, options);
  EXPECT_EQ(whole.draws, 5);
  EXPECT_FALSE(whole.data->samples());
  options.evaluation = true;
  EXPECT_TRUE(testing::same(whole.data->next({}), make_data_set({corpus}, options)->next({})));
  EXPECT_THAT(coverage_notice(corpus, options), HasSubstr("block_size = 64 cuts "));
  options.rows.T = 16;
  const Error most = caught([&] { coverage_notice(corpus, options); });
  EXPECT_EQ(most.kind(), ErrorKind::kUsage);
  EXPECT_THAT(most.what(), HasSubstr("block_size = 16 cuts "));
  EXPECT_THAT(most.what(), HasSubstr("(max_cut_share = 0.5)"));
  options.rows.T = 64;
  config.max_cut_share = 0;
  EXPECT_THAT(caught([&] { coverage_notice(Corpus::generated(config), options); }).what(),
              HasSubstr("block_size = 64 cuts "));
  config.max_cut_share = 1;
  options.rows.T = 16;
  EXPECT_THAT(coverage_notice(Corpus::generated(config), options), HasSubstr("= 16 cuts "));
  const std::string hint = most.hint();
  const size_t number = hint.find("--block_size=") + std::string("--block_size=").size();
  options.rows.T = std::stoll(hint.substr(number));
  EXPECT_EQ(coverage_notice(corpus, options), "") << hint;
  options.rows.T -= 1;
  EXPECT_THAT(coverage_notice(corpus, options), HasSubstr("cuts 0.1 %"));
  options.rows.T = 512;
  EXPECT_EQ(coverage_notice(corpus, options), "");
}

// Of numbers without decimals below 3 there are few expressions, none of them the test's.
TEST_F(NumbersCorpus, ASplitIsAskedForAnExampleWhereItIsRead) {
  NumbersConfig few;
  few.depth = 1;
  few.value_range = {1, 2};
  few.max_decimals = 0;
  const Corpus corpus = Corpus::generated(few);
  EXPECT_NO_THROW(corpus.require_split("train"));
  EXPECT_NO_THROW(corpus.require_split("val"));
  EXPECT_THAT(caught([&] { corpus.require_split("test"); }).what(), HasSubstr("of the split test"));
  DataOptions options;
  options.rows.T = 64;
  options.split = "test";
  EXPECT_THAT(caught([&] { whole_split(corpus, options); }).what(), HasSubstr("the split test"));
}

// Labels of the other part's rows are 0; a row of another tokenizer has other ids.
TEST_F(NumbersCorpus, MixesWithTextOfItsTokenizer) {
  NumbersConfig config;
  config.tokenizer = "byte";
  const Corpus numbers = Corpus::generated(config);
  std::filesystem::create_directories(temp_ / "shards");
  testing::write_shard(temp_ / "shards/train.bin", testing::counting(90));
  Corpus text = Corpus::open(temp_ / "shards");
  text.assume_vocab_size(256);
  DataOptions options;
  options.rows.T = 16;
  const auto data = make_data_set({numbers, text}, options);
  Drawn first = data->next(data->start());
  const Drawn second = data->next(first.after);
  EXPECT_EQ(second.batch.find(kProgramOp), nullptr);
  append(first.batch, second.batch);
  EXPECT_EQ(column(first.batch, kProgramUsed).size(), 10U);
  EXPECT_THAT(caught([&] {
                make_data_set({Corpus::generated({}), text}, options);
              }).what(),
              HasSubstr("do not have the same tokens"));
}

}  // namespace
}  // namespace fathom
