#include "fathom/data/row.h"

#include "data/rows_testing.h"
#include "fathom/base/random.h"
#include "fathom/data/sample.h"
#include "fathom/data/word_accuracy.h"
#include "fathom/data/words.h"

namespace fathom {
namespace {

using testing::answer;
using testing::byte_pairs;
using testing::caught;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kEnd;
using testing::spill;
using testing::text_row;

std::optional<Row> read(const std::string& line, const RowFields& fields = {}) {
  return read_row(line, fields, "x.jsonl, line 3");
}

TEST(Row, IsAPromptAndItsAnswerOrAText) {
  EXPECT_EQ(read(R"({"prompt": "2+2", "truth": "4"})"), answer("2+2", "4"));
  EXPECT_EQ(read(R"({"truth": "4"})"), answer("", "4"));
  EXPECT_EQ(read(R"({"prompt": null, "truth": "", "text": "x"})"), std::nullopt) << "nothing in it";
  EXPECT_EQ(read(R"({"prompt": "why", "truth": ""})"), answer("why", ""));
  EXPECT_EQ(read(R"({"title": "Rain", "text": "It rains."})"), text_row("It rains.", "Rain"));
  EXPECT_EQ(read(R"({"prompt": "unused", "truth": null, "text": "t"})"), text_row("t"));
  EXPECT_EQ(read(R"({"prompt": "alone"})"), std::nullopt);
  EXPECT_EQ(read(R"({"text": ""})"), std::nullopt);
  EXPECT_EQ(read("{}\r"), std::nullopt);
}

TEST(Row, WhatIsNoTextIsItsJson) {
  EXPECT_EQ(read(R"({"prompt": [1, "a"], "truth": 42})"), answer(R"([1,"a"])", "42"));
  EXPECT_EQ(read(R"({"truth": {"b": true}})"), answer("", R"({"b":true})"));
}

TEST(Row, FieldsHaveTheNamesThatAreGiven) {
  const RowFields fields = {"system, question", "response", "body", "head"};
  EXPECT_EQ(read(R"({"system": "Be kind.", "question": "Who?", "response": "I."})", fields),
            answer("Be kind.\nWho?", "I."));
  EXPECT_EQ(read(R"({"system": null, "question": "Who?", "response": "I."})", fields),
            answer("Who?", "I."));
  EXPECT_EQ(read(R"({"body": "b", "head": "h", "text": "t"})", fields), text_row("b", "h"));
}

TEST(Row, OfAConversationTheLastAnswerIsTheTruth) {
  EXPECT_EQ(read(R"({"messages": [{"role": "system", "content": "Be kind."},
                                  {"role": "user", "content": "Hi"},
                                  {"role": "assistant", "content": "Hello"},
                                  {"role": "user", "content": "Bye"},
                                  {"role": "assistant", "content": "See you"},
                                  {"role": "user", "content": "unanswered"}]})"),
            answer("System:\nBe kind.\nUser:\nHi\nAssistant:\nHello\nUser:\nBye\nAssistant:\n",
                   "See you"));
  EXPECT_EQ(read(R"({"conversations": [{"from": "human", "value": "Hi"},
                                       {"from": "gpt", "value": "Hello"}], "text": "ignored"})"),
            answer("User:\nHi\nAssistant:\n", "Hello"));
  EXPECT_EQ(read(R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"},
                                                              {"type": "text", "text": "b"}]},
                                  {"role": "assistant", "content": "c"}]})"),
            answer("User:\nab\nAssistant:\n", "c"));
  EXPECT_EQ(read(R"({"messages": [{"role": "user", "content": "Hi"}]})"), std::nullopt);
  EXPECT_EQ(read(R"({"messages": []})"), std::nullopt);
}

TEST(Row, WhatIsNoneIsNamedWithItsLine) {
  for (const char* line : {"{\"truth\": ", "[1, 2]", "7", "{\"truth\": \"\xff\"}", ""}) {
    const Error e = caught([&] { read(line); });
    EXPECT_THAT(e.what(), HasSubstr("x.jsonl, line 3")) << line;
    EXPECT_THAT(e.hint(), HasSubstr("one object in each line")) << line;
  }
  const std::string longest = "{\"text\": \"" + std::string(kMostRowBytes, 'a') + "\"}";
  EXPECT_THAT(caught([&] { read(longest); }).what(), HasSubstr("67,108,864"));
}

TEST(Row, ReadsBackAsItWasWritten) {
  for (const Row& row : {answer("", "4"), answer("a\n\"b\"", "\u00e9\t"), text_row("t"),
                         text_row("one\ntwo", "Title")}) {
    const std::string line = row_line(row);
    EXPECT_EQ(line.find('\n'), line.npos);
    EXPECT_EQ(read(line), row) << line;
  }
}

class RowFileTest : public testing::DataTest {
 protected:
  RowFile file(const std::string& text) {
    spill(temp_ / "x.jsonl", text);
    return RowFile(temp_ / "x.jsonl");
  }
};

TEST_F(RowFileTest, RowsAreFoundByTheirNumber) {
  std::string lines;
  for (int i = 0; i < 40000; ++i) lines += row_line(answer(std::to_string(i), "x")) + "\n";
  ASSERT_GT(lines.size(), 1u << 20) << "several chunks";
  const RowFile rows = file(lines.substr(0, lines.size() - 1));  // the last line has no end
  EXPECT_EQ(rows.size(), 40000u);
  for (const uint64_t i : {39999u, 0u, 25000u, 1u})
    EXPECT_EQ(rows.row(i), answer(std::to_string(i), "x"));
  EXPECT_EQ(rows.xxh3(), xxh3_file(rows.path()));
  EXPECT_THAT(caught([&] { rows.row(40000); }).what(), HasSubstr("40000"));
}

TEST_F(RowFileTest, WhatIsNoFileOfRowsIsNamed) {
  EXPECT_THAT(caught([&] { file(""); }).what(), HasSubstr("is empty"));
  EXPECT_THAT(caught([&] { file("{\"text\":\"a\"}\n\n{}"); }).what(), HasSubstr("line 2 is empty"));
  const RowFile rows = file("{\"text\":\"a\"}\n{\"text\":\n");
  EXPECT_EQ(rows.row(0), text_row("a"));
  EXPECT_THAT(caught([&] { rows.row(1); }).what(), HasSubstr("x.jsonl, line 2 is not JSON"));
}

// Training reads for hours.
TEST_F(RowFileTest, AFileThatShrinksIsAnError) {
  const RowFile rows = file("{\"text\":\"a\"}\n{\"text\":\"b\"}\n");
  std::filesystem::resize_file(rows.path(), 14);
  EXPECT_EQ(rows.row(0), text_row("a"));
  EXPECT_THAT(caught([&] { rows.row(1); }).what(), HasSubstr("ends at byte 14"));
}

TEST(Sample, BeginsAndEndsWithTheEnd) {
  const auto tokenizer = byte_pairs();
  const Sample sample = make_sample(*tokenizer, answer("ab", "cd"));
  EXPECT_THAT(sample.tokens, ElementsAre(kEnd, 'a', 'b', 'c', 'd', kEnd));
  EXPECT_EQ(sample.truth_at, 3u);
  EXPECT_THAT(make_sample(*tokenizer, answer("", "cd")).tokens, ElementsAre(kEnd, 'c', 'd', kEnd));
  EXPECT_THAT(make_sample(*tokenizer, answer("a", "")).tokens, ElementsAre(kEnd, 'a', kEnd));
  EXPECT_EQ(make_sample(*tokenizer, answer("a", "")).truth_at, 2u);
  const Sample titled = make_sample(*tokenizer, text_row("x", "T"));
  EXPECT_EQ(tokenizer->decode(titled.tokens), "<|endoftext|>Title: T\nx<|endoftext|>");
  EXPECT_EQ(titled.truth_at, 1u + 9u);
}

TEST(Sample, NeverEndsTwice) {
  const auto tokenizer = byte_pairs();
  EXPECT_THAT(make_sample(*tokenizer, answer("a", "b<|endoftext|>")).tokens,
              ElementsAre(kEnd, 'a', 'b', kEnd));
  EXPECT_THAT(make_sample(*tokenizer, answer("a", "<|endoftext|>")).tokens,
              ElementsAre(kEnd, 'a', kEnd));
  // The prompt's is none of the truth.
  EXPECT_THAT(make_sample(*tokenizer, answer("a<|endoftext|>", "")).tokens,
              ElementsAre(kEnd, 'a', kEnd, kEnd));
}

TEST(Sample, PromptAndTruthAreEncodedEachForItself) {
  const auto tokenizer = byte_pairs({"bc"});
  EXPECT_THAT(tokenizer->encode("abcd"), ElementsAre('a', 256, 'd'));
  EXPECT_THAT(make_sample(*tokenizer, answer("ab", "cd")).tokens,
              ElementsAre(257, 'a', 'b', 'c', 'd', 257));
}

TEST(Sample, ANewlineIsTheEndWhereThereIsNoOther) {
  EXPECT_EQ(end_token(*make_byte_tokenizer()), 10u);
  EXPECT_EQ(end_token(*make_char_tokenizer("ab\n")), 0u);
  EXPECT_THAT(make_sample(*make_byte_tokenizer(), answer("a", "b\n")).tokens,
              ElementsAre(10, 'a', 'b', 10));
  const Error e = caught([] { end_token(*make_char_tokenizer("ab")); });
  EXPECT_THAT(e.what(), HasSubstr("char tokenizer"));
  EXPECT_THAT(e.hint(), HasSubstr("--tokenizer"));
}

TEST(Words, AreWhatLiesBetweenWhiteSpace) {
  EXPECT_THAT(words_of(" one\ttwo\n\n\xC2\xA0three\xE3\x80\x80"),
              ElementsAre("one", "two", "three"));
  EXPECT_THAT(words_of("caf\xC3\xA9 \xff\xfe"), ElementsAre("caf\xC3\xA9", "\xff\xfe"));
  EXPECT_TRUE(words_of(" \r\n ").empty());
  EXPECT_EQ(count_words("a b  c"), 3u);
}

TEST(WordAccuracy, CountsTheWordsOfTheBestAlignment) {
  struct Case {
    const char *predicted, *truth;
    int64_t matches, edits;
  };
  for (const auto& [predicted, truth, matches, edits] :
       {Case{"the cat sat", "the cat sat", 3, 0}, Case{"", "", 0, 0}, Case{"a b", "", 0, 2},
        Case{"", "a b", 0, 2}, Case{"a x c", "a b c", 2, 1}, Case{"a c", "a b c", 2, 1},
        // Two edits either way: both replaced, or one left out and one put in.
        Case{"a b", "b c", 1, 2}, Case{"b c", "a b", 1, 2}, Case{"a b c d", "b c d a", 3, 2},
        // Fewer edits come before more matches.
        Case{"x y a", "a z w", 0, 3}}) {
    const WordScore score = score_words(predicted, truth);
    EXPECT_EQ(score.edits, edits) << predicted << " / " << truth;
    EXPECT_EQ(score.matches, matches) << predicted << " / " << truth;
  }
  EXPECT_EQ(score_words("a", "").accuracy(), 0);
  WordScore all = score_words("a b", "a c");
  all += score_words("d", "d e");
  EXPECT_EQ(all.truth_words, 4);
  EXPECT_EQ(all.predicted_words, 3);
  EXPECT_DOUBLE_EQ(all.accuracy(), 0.5);
}

// All alignments of short texts, counted out.
WordScore best_of_all(const std::vector<std::string_view>& a, size_t i,
                      const std::vector<std::string_view>& b, size_t j) {
  if (i == a.size() && j == b.size()) return {};
  std::vector<WordScore> ways;
  const auto way = [&](WordScore rest, int64_t edits, int64_t matches) {
    rest.edits += edits, rest.matches += matches;
    ways.push_back(rest);
  };
  if (i < a.size()) way(best_of_all(a, i + 1, b, j), 1, 0);
  if (j < b.size()) way(best_of_all(a, i, b, j + 1), 1, 0);
  if (i < a.size() && j < b.size())
    way(best_of_all(a, i + 1, b, j + 1), a[i] != b[j], a[i] == b[j]);
  return *std::min_element(ways.begin(), ways.end(), [](const WordScore& x, const WordScore& y) {
    return x.edits != y.edits ? x.edits < y.edits : x.matches > y.matches;
  });
}

TEST(WordAccuracy, IsTheMostOfAllShortestAlignments) {
  const RandomStream random(5, "words");
  uint64_t drawn = 0;
  for (int i = 0; i < 300; ++i) {
    std::string texts[2];
    for (std::string& text : texts)
      for (uint64_t n = random.below(drawn++, 6); n > 0; --n)
        text += std::string(1, static_cast<char>('a' + random.below(drawn++, 3))) + " ";
    const WordScore expected = best_of_all(words_of(texts[0]), 0, words_of(texts[1]), 0);
    const WordScore score = score_words(texts[0], texts[1]);
    EXPECT_EQ(score.edits, expected.edits) << texts[0] << "/ " << texts[1];
    EXPECT_EQ(score.matches, expected.matches) << texts[0] << "/ " << texts[1];
  }
}

TEST(WordAccuracy, TheEndIsNoPartOfAWord) {
  const auto tokenizer = byte_pairs();
  const std::vector<uint32_t> truth = {'a', ' ', 'b', kEnd}, cut = {'a', ' ', 'b'};
  EXPECT_DOUBLE_EQ(score_words(*tokenizer, cut, truth).accuracy(), 1);
  EXPECT_DOUBLE_EQ(score_words(*tokenizer, truth, cut).accuracy(), 1);
  const auto bytes = make_byte_tokenizer();
  const std::vector<uint32_t> lines = {'a', '\n', 'b', '\n'};
  EXPECT_EQ(score_words(*bytes, lines, lines).matches, 2) << "a newline divides words as it is";
}

}  // namespace
}  // namespace fathom
