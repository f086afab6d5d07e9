// What holds of every data set; and mixtures.
#include <algorithm>
#include <cmath>

#include "data/rows_testing.h"
#include "fathom/data/mixture.h"
#include "fathom/data/numbers/numbers_data.h"
#include "fathom/data/prefetched.h"
#include "fathom/data/prompt_rows.h"
#include "fathom/data/shard_windows.h"
#include "fathom/data/shifted.h"

namespace fathom {
namespace {

using testing::answer;
using testing::byte_pairs;
using testing::caught;
using testing::draws;
using ::testing::HasSubstr;
using testing::same;

using testing::Sources;

using Made = std::shared_ptr<const DataSet>;

RowOptions row_options() {
  RowOptions options;
  options.T = 8;
  options.seed = 5;
  return options;
}

template <class Change>
Made rows(const Corpus& corpus, Change change) {
  RowOptions options = row_options();
  change(options);
  return std::make_shared<PromptRows>(corpus, "train", options);
}
Made rows(const Corpus& corpus) {
  return rows(corpus, [](RowOptions&) {});
}
Made windows(const Corpus& corpus) {
  return std::make_shared<RandomWindows>(corpus, "train", 1, 8, 3);
}

// Examples and streams of them in turn, most of them longer than a row.
Made numbers(int64_t T, int64_t ahead = 0) {
  NumbersConfig config;
  config.stream_share = 0.3;
  NumbersRows rows;
  rows.T = T;
  rows.ahead = ahead;
  return std::make_shared<NumbersData>(config, "train", rows, numbers_tokenizer("char"));
}

struct Kind {
  const char* name;
  Made (*make)(const Sources&);
};
void PrintTo(const Kind& kind, std::ostream* out) {
  *out << kind.name;
}

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {"RandomWindows", [](const Sources& s) { return windows(s.shards); }},
      {"SequentialShards",
       [](const Sources& s) -> Made {
         return std::make_shared<SequentialShards>(s.shards, "train", 1, 8);
       }},
      {"RowsOfShardBatches",
       [](const Sources& s) -> Made {
         return std::make_shared<SequentialShards>(s.shards, "train", 2, 8, 0, 1, 0,
                                                   SequentialShards::Draws::kRows);
       }},
      {"Rows", [](const Sources& s) { return rows(s.many); }},
      {"OverlappingRows",
       [](const Sources& s) { return rows(s.many, [](RowOptions& o) { o.overlap = 3; }); }},
      {"TrimmedRows",
       [](const Sources& s) {
         return rows(s.many, [](RowOptions& o) { o.long_rows = LongRows::kTrim; });
       }},
      {"Sentences",
       [](const Sources& s) {
         return rows(s.many, [](RowOptions& o) { o.long_rows = LongRows::kSentences; });
       }},
      {"Answers",
       [](const Sources& s) {
         return rows(s.many, [](RowOptions& o) { o.include_prompts = false; });
       }},
      {"PackedShuffledRows",
       [](const Sources& s) {
         return rows(s.many, [](RowOptions& o) {
           o.pack = o.shuffle = o.mark_answers = true;
           o.ahead = 2;
         });
       }},
      {"InTurn",
       [](const Sources& s) -> Made {
         return std::make_shared<Mixture>(std::vector{rows(s.many), windows(s.shards), rows(s.few)},
                                          MixtureRule::kAllExhausted);
       }},
      {"WeightedMixtureOfMixtures",
       [](const Sources& s) -> Made {
         const Made inner = std::make_shared<Mixture>(std::vector{rows(s.few), rows(s.many)},
                                                      MixtureRule::kFirstExhausted);
         return std::make_shared<Mixture>(std::vector{windows(s.shards), inner},
                                          MixtureRule::kWeighted, std::vector{1.0, 2.0}, 9);
       }},
      {"Shifted",
       [](const Sources& s) -> Made {
         ShiftOptions options;
         options.odds = {3, ShiftDist::kUniform};
         options.text_vocab = 300;
         return std::make_shared<Shifted>(
             std::make_shared<RandomWindows>(s.shards, "train", 1, 7, 3, 0, 1, 2, 3), options, 5);
       }},
      {"ShiftedMixture",
       [](const Sources& s) -> Made {
         ShiftOptions options;
         options.odds = {3, ShiftDist::kUniform};
         options.text_vocab = 300;
         options.fixed = 1;  // a further one has no target in a short row
         const auto shorter = [](RowOptions& o) {
           o.T = 7;
           o.ahead = 2;
         };
         return std::make_shared<Shifted>(
             std::make_shared<Mixture>(std::vector{rows(s.many, shorter), rows(s.few, shorter)},
                                       MixtureRule::kAllExhausted),
             options, 5);
       }},
      {"Numbers", [](const Sources&) { return numbers(8); }},
      {"ShiftedNumbers",
       [](const Sources&) -> Made {
         ShiftOptions options;
         options.odds = {3, ShiftDist::kUniform};
         options.text_vocab = 300;
         return std::make_shared<Shifted>(numbers(7, 2), options, 5);
       }},
      {"PrefetchedNumbersAmongRows",
       [](const Sources& s) -> Made {
         return std::make_shared<Mixture>(
             std::vector<Made>{std::make_shared<Prefetched>(numbers(8), 4), rows(s.many)},
             MixtureRule::kWeighted, std::vector{1.0, 1.0}, 3);
       }},
      {"Prefetched",
       [](const Sources& s) -> Made { return std::make_shared<Prefetched>(rows(s.many), 3); }},
      {"MixtureOfPrefetched",
       [](const Sources& s) -> Made {
         return std::make_shared<Mixture>(
             std::vector<Made>{std::make_shared<Prefetched>(rows(s.many)), rows(s.few)},
             MixtureRule::kFirstExhausted);
       }},
  };
  return all;
}

class EveryDataSet : public testing::DataTest, public ::testing::WithParamInterface<Kind> {
 protected:
  static constexpr int kDraws = 40;
  Sources sources_ = Sources::in(temp_);
  Made data_ = GetParam().make(sources_);

  static Cursor through_json(const Cursor& cursor) {
    return nlohmann::json::parse(nlohmann::json(cursor).dump()).get<Cursor>();
  }
};

TEST_P(EveryDataSet, IsAFunctionOfTheCursor) {
  const std::vector<Drawn> all = draws(*data_, data_->start(), kDraws);
  const Made again = GetParam().make(sources_);
  for (int i = kDraws; i-- > 0;) {  // the other way round, and each one twice
    const Cursor cursor = through_json(i == 0 ? data_->start() : all[size_t(i - 1)].after);
    EXPECT_TRUE(same(again->next(cursor), all[size_t(i)])) << i;
    EXPECT_TRUE(same(again->next(cursor), all[size_t(i)])) << i;
  }
}

TEST_P(EveryDataSet, GoesOnFromAnyPlaceAsItWouldHave) {
  const std::vector<Drawn> all = draws(*data_, data_->start(), kDraws);
  for (size_t from = 0; from < all.size(); from += 3) {
    const Made resumed = GetParam().make(sources_);
    const auto rest =
        draws(*resumed, through_json(all[from].after), kDraws - static_cast<int>(from) - 1);
    for (size_t i = 0; i < rest.size(); ++i) EXPECT_TRUE(same(rest[i], all[from + 1 + i]));
  }
}

TEST_P(EveryDataSet, GivesOneRowThatIsSound) {
  for (const Drawn& drawn : draws(*data_, data_->start(), kDraws)) {
    const TokenBatch& batch = drawn.batch;
    ASSERT_EQ(batch.B, 1);
    EXPECT_LE(batch.T, 8);
    EXPECT_EQ(batch.tokens.size(), size_t(batch.T));
    EXPECT_EQ(batch.targets.size(), size_t(batch.T));
    EXPECT_TRUE(std::any_of(batch.targets.begin(), batch.targets.end(),
                            [](int64_t target) { return target >= 0; }));
    for (const Column& column : batch.columns)
      EXPECT_EQ(std::visit([](const auto& values) { return values.size(); }, column.values),
                size_t(column.per_sequence > 0 ? column.per_sequence : batch.T))
          << column.name;
    EXPECT_GE(drawn.samples, 0);
  }
}

// What a batch that begins with a new row does, at any place.
TEST_P(EveryDataSet, SkipsToTheNextSample) {
  EXPECT_TRUE(data_->is_between_samples(data_->start()));
  for (const Drawn& drawn : draws(*data_, data_->start(), kDraws)) {
    const Cursor next = data_->next_sample(drawn.after);
    EXPECT_TRUE(data_->is_between_samples(next));
    EXPECT_EQ(next == drawn.after, data_->is_between_samples(drawn.after));
    EXPECT_EQ(data_->next_sample(next), next);
    EXPECT_GE(data_->next(next).samples, 1) << "it begins with one";
  }
}

INSTANTIATE_TEST_SUITE_P(All, EveryDataSet, ::testing::ValuesIn(kinds()),
                         [](const auto& kind) { return std::string(kind.param.name); });

class DataSetsTest : public testing::DataTest {
 protected:
  // A row for each letter.
  Made letters(const std::string& name, const std::string& letters) {
    std::vector<Row> all;
    for (const char c : letters) all.push_back(answer("", std::string(1, c)));
    return rows(testing::rows_corpus(temp_ / name, all, *byte_pairs()));
  }
  static std::string drawn_letters(const DataSet& data, int count) {
    std::string all;
    for (const Drawn& drawn : draws(data, data.start(), count))
      all += static_cast<char>(drawn.batch.targets[0]);
    return all;
  }
};

TEST_F(DataSetsTest, TurnsGoRoundRowByRow) {
  const std::vector<Made> parts = {letters("x", "abc"), letters("y", "PQRST"), letters("z", "01")};
  const Mixture first(parts, MixtureRule::kFirstExhausted);
  EXPECT_EQ(first.samples(), 6) << "3 times the shortest";
  EXPECT_EQ(drawn_letters(first, 6), "aP0bQ1");
  const Mixture all(parts, MixtureRule::kAllExhausted);
  EXPECT_EQ(all.samples(), 15) << "3 times the longest";
  EXPECT_EQ(drawn_letters(all, 15), "aP0bQ1cR0aS1bT0") << "the short ones begin anew";
  EXPECT_EQ(drawn_letters(first, 9), "aP0bQ1cR0") << "a second epoch goes on";
}

// A long row is given whole before it is another part's turn.
TEST_F(DataSetsTest, ATurnLastsAsLongAsASample) {
  const Made longer =
      rows(testing::rows_corpus(temp_ / "l", {answer("", "abcdefghijklmnopqrst")}, *byte_pairs()));
  const Mixture mixture({longer, letters("y", "PQ")}, MixtureRule::kAllExhausted);
  EXPECT_EQ(drawn_letters(mixture, 9), "aiqPaiqQa");
  int64_t samples = 0;
  for (const Drawn& drawn : draws(mixture, mixture.start(), 8)) samples += drawn.samples;
  EXPECT_EQ(samples, 4);
  const Drawn begun = mixture.next(mixture.start());
  EXPECT_FALSE(mixture.is_between_samples(begun.after));
  EXPECT_EQ(mixture.next(mixture.next_sample(begun.after)).batch.targets[0], 'P');
}

// Two rows of one fit into a window, and one of the other: an epoch that ends with the longest part
// has read all of it.
TEST_F(DataSetsTest, PackedRowsTakeAsManyTurnsAsTheyAre) {
  std::vector<Row> brief, whole;
  for (const char c : std::string("abcdef")) brief.push_back(answer("", {c, c}));
  for (const char c : std::string("PQRSTU")) whole.push_back(answer("", std::string(6, c)));
  const auto pack = [](RowOptions& o) { o.pack = true; };
  const Mixture mixture({rows(testing::rows_corpus(temp_ / "b", brief, *byte_pairs()), pack),
                         rows(testing::rows_corpus(temp_ / "w", whole, *byte_pairs()), pack)},
                        MixtureRule::kAllExhausted);
  int64_t samples = 0;
  std::string seen;
  for (Cursor cursor = mixture.start(); samples < *mixture.samples();) {
    const Drawn drawn = mixture.next(cursor);
    samples += drawn.samples;
    for (const int64_t target : drawn.batch.targets)
      if (target > 0 && target < 128 && seen.find(static_cast<char>(target)) == seen.npos)
        seen += static_cast<char>(target);
    cursor = drawn.after;
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_THAT(seen, HasSubstr("PQRSTU")) << "the part with fewer samples a draw";
  EXPECT_THAT(seen, HasSubstr("abcdef"));
}

TEST_F(DataSetsTest, APartCannotOweMoreTurnsThanItHadSamples) {
  const Mixture mixture({letters("x", "ab"), letters("y", "PQ")}, MixtureRule::kAllExhausted);
  EXPECT_THAT(caught([&] {
                mixture.next({{"owed.1", INT64_MAX - 5}});
              }).what(),
              HasSubstr("does not exist"));
  EXPECT_EQ(mixture.next({{"owed.1", 2}}).after["turn"], 2) << "one of two is sat out";
}

// 3,000 turns of weights 5, 3, 2 and 0: two degrees of freedom, 13.8 is the 0.1 % point.
TEST_F(DataSetsTest, WeightsAreTheSharesOfTurns) {
  const std::vector<Made> parts = {letters("a", "a"), letters("b", "b"), letters("c", "c"),
                                   letters("d", "d")};
  const std::vector<double> weights = {5, 3, 2, 0};
  const Mixture mixture(parts, MixtureRule::kWeighted, weights, 11);
  std::vector<double> count(4);
  for (int64_t turn = 0; turn < 3000; ++turn) ++count[mixture.part_of(turn)];
  double chi_square = 0;
  for (size_t i = 0; i < 3; ++i) {
    const double expected = 300 * weights[i];
    chi_square += (count[i] - expected) * (count[i] - expected) / expected;
  }
  EXPECT_LT(chi_square, 13.8);
  EXPECT_EQ(count[3], 0);
  EXPECT_EQ(mixture.samples(), 4) << "those of all parts";
  const std::string order = drawn_letters(mixture, 40);
  EXPECT_EQ(order[7], "abcd"[mixture.part_of(7)]);
  EXPECT_NE(order, drawn_letters(Mixture(parts, MixtureRule::kWeighted, weights, 12), 40));
}

TEST_F(DataSetsTest, WrongWeightsAreRefused) {
  const std::vector<Made> parts = {letters("a", "a"), letters("b", "b")};
  for (const std::vector<double>& weights :
       {std::vector<double>{}, {1}, {1, -1}, {0, 0}, {1, NAN}, {1, 1e308 * 10}})
    EXPECT_EQ(caught([&] { Mixture(parts, MixtureRule::kWeighted, weights); }).kind(),
              ErrorKind::kUsage);
  EXPECT_THAT(caught([&] {
                Mixture(parts, MixtureRule::kFirstExhausted, {1, 1});
              }).what(),
              HasSubstr("take turns"));
  EXPECT_THAT(caught([&] { Mixture({}, MixtureRule::kFirstExhausted); }).what(),
              HasSubstr("no data"));
  const Mixture sound(parts, MixtureRule::kAllExhausted);
  EXPECT_THAT(caught([&] {
                sound.next({{"turn", INT64_MAX}});
              }).what(),
              HasSubstr("does not exist"));
}

}  // namespace
}  // namespace fathom
