#include "fathom/data/prompt_rows.h"

#include <numeric>

#include "data/rows_testing.h"
#include "fathom/data/continuation.h"
#include "fathom/data/make_data_set.h"
#include "fathom/data/permutation.h"

namespace fathom {
namespace {

using testing::answer;
using testing::byte_pairs;
using testing::caught;
using testing::column;
using testing::draws;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ids;
using testing::same;
using ::testing::StartsWith;
using testing::targets;
using testing::text_row;

class PromptRowsTest : public testing::DataTest {
 protected:
  PromptRows data(const std::vector<Row>& rows, RowOptions options) {
    return PromptRows(testing::rows_corpus(temp_ / "corpus", rows, *byte_pairs()), "train",
                      options);
  }
  static RowOptions window(int64_t T) {
    RowOptions options;
    options.T = T;
    return options;
  }
};

TEST_F(PromptRowsTest, ADrawIsOneSample) {
  const PromptRows rows = data({answer("ab", "cd"), answer("e", "f")}, window(16));
  const Drawn first = rows.next(rows.start());
  EXPECT_EQ(first.batch.B, 1);
  EXPECT_EQ(first.batch.T, 5);
  EXPECT_EQ(first.batch.tokens, ids("|abcd"));
  EXPECT_EQ(first.batch.targets, targets("abcd|"));
  EXPECT_TRUE(first.batch.columns.empty());
  EXPECT_EQ(first.samples, 1);
  const Drawn second = rows.next(first.after);
  EXPECT_EQ(second.batch.tokens, ids("|ef"));
  EXPECT_TRUE(same(rows.next(second.after).batch, first.batch)) << "the data has no end";
  EXPECT_EQ(rows.samples(), 2);
}

// Of the context every target counts, or only the answer's and its end.
TEST_F(PromptRowsTest, PromptsAreLearnedOrOnlyRead) {
  RowOptions answers = window(16);
  answers.include_prompts = false;
  answers.mark_answers = true;
  const Drawn drawn = data({answer("ab", "cd")}, answers).next({});
  EXPECT_EQ(drawn.batch.tokens, ids("|abcd"));
  EXPECT_EQ(drawn.batch.targets, targets("..cd|"));
  EXPECT_THAT(column(drawn.batch, "answer"), ElementsAre(0, 0, 1, 1, 1));
  EXPECT_EQ(data({answer("ab", "")}, answers).next({}).batch.targets, targets("..|"));
  EXPECT_EQ(data({answer("", "cd")}, answers).next({}).batch.targets, targets("cd|"));
  EXPECT_EQ(data({text_row("x", "T")}, answers).next({}).batch.targets, targets(".........x|"));
}

TEST_F(PromptRowsTest, ATrimmedSampleEndsWithTheWindow) {
  RowOptions options = window(4);
  options.long_rows = LongRows::kTrim;
  const std::vector<Row> rows = {answer("ab", "cdef"), answer("ab", "c"), answer("abcdef", "g")};
  const PromptRows trimmed = data(rows, options);
  const std::vector<Drawn> all = draws(trimmed, {}, 3);
  EXPECT_EQ(all[0].batch.tokens, ids("|abc"));
  EXPECT_EQ(all[0].batch.targets, targets("abcd")) << "the end is lost";
  EXPECT_EQ(all[1].batch.targets, targets("abc|")) << "it just fits";
  EXPECT_EQ(all[2].batch.targets, targets("abcd"));

  // An answer out of the window's reach has no target, and is never counted as one.
  options.include_prompts = false;
  const PromptRows answers = data(rows, options);
  const std::vector<Drawn> some = draws(answers, {}, 3);
  EXPECT_EQ(some[0].batch.targets, targets("..cd"));
  EXPECT_EQ(some[1].batch.targets, targets("..c|"));
  EXPECT_EQ(some[1].samples, 1);
  EXPECT_EQ(some[2].batch.targets, targets("..cd")) << "the third row is passed over";
  EXPECT_EQ(some[2].samples, 2) << "and was read";
  const Error e = caught([&] { data({answer("abcdef", "g")}, options).next({}); });
  EXPECT_THAT(e.what(), HasSubstr("no row of the split train of corpus"));
  EXPECT_THAT(e.hint(), HasSubstr("--block_size"));
}

TEST_F(PromptRowsTest, PaddingLeavesASampleAsItWas) {
  const PromptRows rows = data({answer("ab", "cd"), answer("e", "f")}, window(16));
  const std::vector<Drawn> all = draws(rows, {}, 2);
  TokenBatch both = all[1].batch;
  append(both, all[0].batch);
  EXPECT_EQ(both.T, 5);
  EXPECT_EQ(WholeNumbers(both.tokens.begin(), both.tokens.begin() + 3), all[1].batch.tokens);
  EXPECT_EQ(WholeNumbers(both.targets.begin(), both.targets.begin() + 5), targets("ef|.."));
  EXPECT_EQ(WholeNumbers(both.targets.begin() + 5, both.targets.end()), all[0].batch.targets);
  EXPECT_THAT(column(both, "valid"), ElementsAre(1, 1, 1, 0, 0, 1, 1, 1, 1, 1));
}

TEST_F(PromptRowsTest, ALongRowGoesOnWhereItsPartEnded) {
  const PromptRows rows = data({answer("ab", "cdefghij"), answer("x", "y")}, window(4));
  const std::vector<Drawn> all = draws(rows, {}, 4);
  EXPECT_EQ(all[0].batch.tokens, ids("|abc"));
  EXPECT_EQ(all[0].batch.targets, targets("abcd"));
  EXPECT_EQ(all[1].batch.tokens, ids("defg"));
  EXPECT_EQ(all[1].batch.targets, targets("efgh"));
  EXPECT_EQ(all[2].batch.tokens, ids("hij"));
  EXPECT_EQ(all[2].batch.targets, targets("ij|"));
  EXPECT_EQ(all[3].batch.tokens, ids("|xy"));
  EXPECT_EQ(all[0].samples + all[1].samples + all[2].samples, 1);
  EXPECT_FALSE(rows.is_between_samples(all[0].after));
  EXPECT_FALSE(rows.is_between_samples(all[1].after));
  EXPECT_TRUE(rows.is_between_samples(all[2].after));
}

TEST_F(PromptRowsTest, AnOverlapIsSeenAgainAndNotLearned) {
  RowOptions options = window(4);
  options.overlap = 1;
  const PromptRows rows = data({answer("ab", "cdefghij")}, options);
  const std::vector<Drawn> all = draws(rows, {}, 3);
  EXPECT_EQ(all[1].batch.tokens, ids("cdef"));
  EXPECT_EQ(all[1].batch.targets, targets(".efg"));
  EXPECT_EQ(all[2].batch.tokens, ids("fghi"));
  EXPECT_EQ(all[2].batch.targets, targets(".hij"));
}

// Whatever the window and the overlap, each token is the target of one part.
TEST_F(PromptRowsTest, NothingIsLostAndNothingComesTwice) {
  for (int length = 0; length < 14; ++length)
    for (int64_t T = 1; T < 6; ++T)
      for (int64_t overlap = 0; overlap < T; ++overlap) {
        RowOptions options = window(T);
        options.overlap = overlap;
        const std::string text = std::string("abcdefghijklmn").substr(0, size_t(length));
        const PromptRows rows = data({answer("p", text)}, options);
        WholeNumbers seen;
        Cursor cursor = rows.start();
        do {
          const Drawn drawn = rows.next(cursor);
          cursor = drawn.after;
          for (const int64_t target : drawn.batch.targets)
            if (target >= 0) seen.push_back(target);
          EXPECT_LE(drawn.batch.T, T);
        } while (!rows.is_between_samples(cursor));
        EXPECT_EQ(seen, ids("p" + text + "|")) << length << " " << T << " " << overlap;
        const auto coverage = rows.coverage(5);
        EXPECT_EQ(coverage.targets, coverage.tokens);
      }
}

// A part of the prompt alone is passed over, the answer behind it is not.
TEST_F(PromptRowsTest, AnAnswerIsReachedBehindALongPrompt) {
  RowOptions options = window(4);
  options.include_prompts = false;
  const PromptRows rows = data({answer("abcdefgh", "xy")}, options);
  const Drawn drawn = rows.next({});
  EXPECT_EQ(drawn.batch.tokens, ids("hxy"));
  EXPECT_EQ(drawn.batch.targets, targets("xy|"));
  EXPECT_EQ(drawn.samples, 1);
}

TEST_F(PromptRowsTest, PackedSamplesAreAsTheyWereAlone) {
  RowOptions options = window(8);
  options.pack = true;
  options.mark_answers = true;
  const std::vector<Row> stored = {answer("ab", "c"), answer("d", "e"), answer("f", "ghi"),
                                   answer("", "abcdefghijk"), answer("x", "")};
  const PromptRows packed = data(stored, options);
  const std::vector<Drawn> all = draws(packed, {}, 4);
  EXPECT_EQ(all[0].batch.tokens, ids("|abc|de"));
  EXPECT_EQ(all[0].batch.targets, targets("abc|de|"));
  EXPECT_THAT(column(all[0].batch, "segment"), ElementsAre(0, 0, 0, 0, 1, 1, 1));
  EXPECT_THAT(column(all[0].batch, "position"), ElementsAre(0, 1, 2, 3, 0, 1, 2));
  EXPECT_THAT(column(all[0].batch, "answer"), ElementsAre(0, 0, 1, 1, 0, 1, 1));
  EXPECT_EQ(all[0].samples, 2);
  EXPECT_EQ(all[1].batch.tokens, ids("|fghi")) << "the next one does not fit whole";
  EXPECT_EQ(all[2].batch.tokens, ids("|abcdefg"));
  EXPECT_EQ(all[2].batch.targets, targets("abcdefgh"));
  EXPECT_EQ(all[3].batch.tokens, ids("hijk|x")) << "what is left of it, and another";
  EXPECT_EQ(all[3].batch.targets, targets("ijk|x|"));
  EXPECT_EQ(all[3].samples, 1);

  // Every sample, one by one: its tokens, targets and the marks of its answer.
  options.pack = false;
  const PromptRows alone = data(stored, options);
  Cursor cursor;
  for (const Drawn& row : all) {
    const TokenBatch& batch = row.batch;
    const WholeNumbers& segment = column(batch, "segment");
    for (int64_t from = 0, to = 0; from < batch.T; from = to) {
      while (to < batch.T && segment[size_t(to)] == segment[size_t(from)]) ++to;
      const Drawn one = alone.next(cursor);
      cursor = one.after;
      const auto part = [&](const WholeNumbers& all_of_it) {
        return WholeNumbers(all_of_it.begin() + from, all_of_it.begin() + to);
      };
      EXPECT_EQ(part(batch.tokens), one.batch.tokens);
      EXPECT_EQ(part(batch.targets), one.batch.targets);
      EXPECT_EQ(part(column(batch, "answer")), column(one.batch, "answer"));
      EXPECT_EQ(column(batch, "position")[size_t(to - 1)], to - from - 1);
    }
    EXPECT_EQ(cursor, row.after);
  }
}

TEST_F(PromptRowsTest, AnEpochInAnotherOrderHasEveryRow) {
  std::vector<Row> rows;
  for (int i = 0; i < 20; ++i) rows.push_back(answer("", std::string(1, char('a' + i))));
  RowOptions options = window(8);
  options.shuffle = true;
  const PromptRows shuffled = data(rows, options);
  std::vector<WholeNumbers> epochs(3);
  Cursor cursor;
  for (WholeNumbers& epoch : epochs)
    for (int i = 0; i < 20; ++i) {
      const Drawn drawn = shuffled.next(cursor);
      epoch.push_back(drawn.batch.targets[0]);
      cursor = drawn.after;
    }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
  WholeNumbers in_order(20);
  std::iota(in_order.begin(), in_order.end(), 'a');
  for (WholeNumbers epoch : epochs) {
    EXPECT_NE(epoch, in_order);
    std::sort(epoch.begin(), epoch.end());
    EXPECT_EQ(epoch, in_order);
  }
  options.seed = 1;
  EXPECT_NE(data(rows, options).next({}).batch.targets[0] * 100 +
                data(rows, options).next({{"row", 1}}).batch.targets[0],
            epochs[0][0] * 100 + epochs[0][1])
      << "another seed, another order";
}

TEST(Permutation, HasEveryNumberOnceAndPutsThemAnywhere) {
  for (const uint64_t n : {1u, 2u, 3u, 5u, 16u, 17u, 100u, 1000u}) {
    const Permutation order(n, 7, "test");
    std::vector<bool> seen(n);
    for (uint64_t i = 0; i < n; ++i) {
      ASSERT_LT(order[i], n);
      EXPECT_FALSE(seen[order[i]]) << n;
      seen[order[i]] = true;
    }
  }
  // Where the first of ten goes, over 5,000 orders: 9 degrees of freedom, 27.9 is the 0.1 % point.
  double chi_square = 0;
  std::vector<int> count(10);
  for (uint64_t number = 0; number < 5000; ++number) ++count[Permutation(10, 3, "test", number)[0]];
  for (const int c : count) chi_square += (c - 500.0) * (c - 500.0) / 500.0;
  EXPECT_LT(chi_square, 27.9);
  const Permutation huge(uint64_t{1} << 62, 1, "test");
  EXPECT_NE(huge[0], huge[1]);
}

// By hand: n = int(6 / 1.4) = 4 words, "One two three. Four" has 19 characters; the first ". "
// behind them ends the second sentence.
const std::string kText = "One two three. Four five six. Seven eight nine. Ten.";

TEST(Continuation, IsTheFirstSentenceBehindTheWordsThatFit) {
  EXPECT_EQ(continuation_point("", kText, 6), 30u);
  EXPECT_EQ(continuation_point("", kText, 10), 48u) << "7 words end within the third sentence";
  EXPECT_EQ(continuation_point("", kText, 14), std::nullopt)
      << "no sentence begins behind 10 words";
  EXPECT_EQ(continuation_point("", kText, 15), std::nullopt) << "10 words at 1.5 fit";
  // A title of two words takes 3 of the 4 words: the first sentence is left.
  EXPECT_EQ(continuation_point("Title: X\n", kText, 6), 15u);
  // At least one word, however long the prompt is.
  EXPECT_EQ(continuation_point("a b c d e f g h", kText, 6), 15u);
  EXPECT_EQ(continuation_point("", "no stop in all these many words", 4), std::nullopt);
  EXPECT_EQ(continuation_point("", "it stops at the very end. ", 4), std::nullopt);
  // Characters, not bytes, are counted: as in the notebook.
  EXPECT_EQ(continuation_point("", "a     . \u00e9\u00e9 b c. d e f", 5), 8u);
}

TEST(Continuation, EachFurtherSampleBeginsWithASentenceThatWasSeen) {
  ContinuedText one = continued_text("", kText, 0, 6);
  EXPECT_EQ(one.prompt, "");
  EXPECT_EQ(one.truth, kText);
  ASSERT_EQ(one.next, 30u);
  one = continued_text("", kText, 30, 6);
  EXPECT_EQ(one.prompt, "...Seven eight nine. ");
  EXPECT_EQ(one.truth, "Ten.");
  EXPECT_EQ(one.next, std::nullopt);
  one = continued_text("Title: X\n", kText, 48, 6);
  EXPECT_EQ(one.prompt, "Title: X\n...");
  EXPECT_EQ(one.truth, "Ten.") << "no sentence ends before the text does";
}

TEST_F(PromptRowsTest, SentencesAreTheNotebooksForm) {
  RowOptions options = window(64);
  options.long_rows = LongRows::kSentences;
  std::string text;
  for (int i = 0; i < 30; ++i) text += "One two three. ";
  const PromptRows rows = data({text_row(text + "End.", "T"), answer(text, "x")}, options);
  const auto tokenizer = byte_pairs();
  const auto shown = [&](const Drawn& drawn) {
    return tokenizer->decode(
        std::vector<uint32_t>(drawn.batch.tokens.begin(), drawn.batch.tokens.end()));
  };
  const Drawn first = rows.next({});
  EXPECT_THAT(shown(first), StartsWith("<|endoftext|>Title: T\nOne two three. One "));
  EXPECT_EQ(first.batch.T, 64);
  // int(64 / 1.4 - 3) = 42 words fit, 14 sentences; the first stop behind them ends the 15th.
  EXPECT_EQ(first.after, (Cursor{{"offset", 15 * 15}}));
  const Drawn second = rows.next(first.after);
  EXPECT_THAT(shown(second), StartsWith("<|endoftext|>Title: T\n...One two three. "));
  EXPECT_EQ(second.samples, 0);
  EXPECT_FALSE(rows.is_between_samples(second.after));
  EXPECT_EQ(rows.next_sample(second.after), (Cursor{{"row", 1}})) << "what a fresh batch does";
  const Drawn answered = rows.next({{"row", 1}});
  EXPECT_EQ(answered.after, (Cursor{{"row", 2}})) << "an answer is not continued";
  EXPECT_LT(rows.coverage(2).targets, rows.coverage(2).tokens);
}

TEST_F(PromptRowsTest, APlaceThatDoesNotExistIsRefused) {
  RowOptions options = window(4);
  options.overlap = 1;
  const std::vector<Row> rows = {answer("ab", "cdefghij"), text_row("One. Two. Three.")};
  const PromptRows continued = data(rows, options);
  options.long_rows = LongRows::kTrim;
  const PromptRows trimmed = data(rows, options);
  options.long_rows = LongRows::kSentences;
  const PromptRows sentences = data(rows, options);
  for (const auto& [set, cursor] : {std::pair{&continued, Cursor{{"offset", 2}}},
                                    {&continued, Cursor{{"offset", 12}}},
                                    {&continued, Cursor{{"offset", 3000}}},
                                    {&continued, Cursor{{"row", -1}}},
                                    {&continued, Cursor{{"row", INT64_MAX}}},
                                    {&trimmed, Cursor{{"offset", 3}}},
                                    {&sentences, Cursor{{"offset", 3}}},
                                    {&sentences, Cursor{{"row", 1}, {"offset", 16}}}})
    EXPECT_THAT(caught([&, set = set, cursor = cursor] { set->next(cursor); }).what(),
                HasSubstr("does not exist in the corpus"));
  options.overlap = 4;
  EXPECT_THAT(caught([&] { data(rows, options); }).what(), HasSubstr("row_overlap = 4"));
}

TEST_F(PromptRowsTest, WhatIsLearnedOfTheTextIsSaid) {
  DataOptions options;
  options.rows = window(4);
  const Corpus corpus = testing::rows_corpus(
      temp_ / "said", {answer("ab", "cdef"), answer("abcdef", "g")}, *byte_pairs());
  EXPECT_EQ(coverage_notice(corpus, options), "") << "all of it";
  options.rows.long_rows = LongRows::kTrim;
  EXPECT_EQ(coverage_notice(corpus, options),
            "an epoch learns 8 targets of the 15 tokens of said's first 2 rows");
  options.rows.include_prompts = false;
  EXPECT_EQ(coverage_notice(corpus, options),
            "an epoch learns 2 targets of the 7 tokens of said's first 2 rows; 1 of them have no "
            "answer within the window and are passed over");
}

}  // namespace
}  // namespace fathom
