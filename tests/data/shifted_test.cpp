// Rows with a shift token: what a token predicts, which shift a row has, and what is counted.
#include "fathom/data/shifted.h"

#include <cmath>
#include <numeric>
#include <set>

#include "data/rows_testing.h"
#include "fathom/data/make_data_set.h"
#include "fathom/data/shard_windows.h"

namespace fathom {
namespace {

using testing::caught;
using testing::counting;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::write_shard;

constexpr int64_t kShiftedVocab = 1000, kShiftedBlock = 8;

class ShiftedTest : public testing::DataTest {
 protected:
  // Token j of each split is j.
  Corpus counted(uint32_t train, uint32_t val = 30) {
    const std::string folder = temp_ / "data/counted";
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    write_shard(folder + "/train.bin", counting(train));
    write_shard(folder + "/val.bin", counting(val));
    Corpus corpus = Corpus::open("counted");
    corpus.assume_vocab_size(kShiftedVocab);
    return corpus;
  }
  static DataOptions options(int64_t max_shift, std::optional<int64_t> fixed = {}) {
    DataOptions o;
    o.seed = 3;
    o.rows.T = kShiftedBlock - 1;
    o.rows.ahead = max_shift - 1;
    o.shift.odds = {max_shift, ShiftDist::kUniform};
    o.shift.text_vocab = kShiftedVocab;
    o.shift.fixed = fixed;
    return o;
  }
};

// Checks a row of counted tokens and returns its shift.
int64_t shift_of_counted(const TokenBatch& row) {
  EXPECT_EQ(row.B, 1);
  EXPECT_EQ(row.T, kShiftedBlock);
  const int64_t s = row.tokens[0] - kShiftedVocab + 1;
  EXPECT_EQ(row.targets[0], -1);
  for (size_t m = 1; m < size_t(row.T); ++m) {
    EXPECT_EQ(row.tokens[m], row.tokens[1] + int64_t(m) - 1);
    EXPECT_EQ(row.targets[m], row.tokens[m] + s) << "the token " << m << " of shift " << s;
  }
  EXPECT_EQ(row.find("ahead"), nullptr);
  return s;
}

TEST_F(ShiftedTest, EachTokenHasTheTargetSoManyPlacesFurther) {
  constexpr int64_t S = 5;
  const Corpus corpus = counted(200);
  for (const bool sequential : {false, true})
    for (int64_t s = 1; s <= S; ++s) {
      DataOptions o = options(S, s);
      o.sequential = sequential;
      const auto data = make_data_set({corpus}, o);
      Cursor cursor = data->start();
      for (int i = 0; i < 20; ++i) {
        const Drawn drawn = data->next(cursor);
        cursor = drawn.after;
        EXPECT_EQ(shift_of_counted(drawn.batch), s);
      }
    }
}

TEST_F(ShiftedTest, EveryShiftHasTheSameStartsAndTheFirstIsALanguageModels) {
  const Corpus corpus = counted(200);
  DataOptions o = options(4);
  o.evaluation = true;
  o.split = "val";
  const RandomWindows plain(corpus, "val", 1, kShiftedBlock - 1, o.seed + kEvaluationSeedOffset, 0,
                            1, 0, 4);
  for (int64_t s = 0; s <= 4; ++s) {
    o.shift.fixed = s;
    const auto data = make_data_set({corpus}, o);
    Cursor cursor = data->start(), of_plain = plain.start();
    for (int i = 0; i < 20; ++i) {
      const Drawn drawn = data->next(cursor), window = plain.next(of_plain);
      cursor = drawn.after, of_plain = window.after;
      const WholeNumbers& tokens = drawn.batch.tokens;
      const WholeNumbers text(tokens.begin() + (s > 0), tokens.end());
      EXPECT_EQ(text, window.batch.tokens) << s;
      const WholeNumbers targets(drawn.batch.targets.begin() + (s > 0), drawn.batch.targets.end());
      EXPECT_EQ(targets == window.batch.targets, s <= 1) << s;
    }
  }
}

TEST_F(ShiftedTest, WhatLiesBehindTheTextHasNoTarget) {
  const Corpus corpus = counted(200, 30);  // 29 targets: windows of 7, 7, 7, 7 and 1
  DataOptions o = options(3, 3);
  o.split = "val";
  o.evaluation = true;
  const WholeSplit whole = whole_split(corpus, o);
  ASSERT_EQ(whole.draws, 5);
  std::multiset<int64_t> targets;
  Cursor cursor = whole.data->start();
  for (int64_t i = 0; i < whole.draws; ++i) {
    const Drawn drawn = whole.data->next(cursor);
    cursor = drawn.after;
    EXPECT_EQ(drawn.batch.tokens[0], kShiftedVocab + 2);
    const Column* valid = drawn.batch.find("valid");
    for (size_t m = 1; m < size_t(kShiftedBlock); ++m) {
      const int64_t target = drawn.batch.targets[m];
      if (target < 0) continue;
      EXPECT_EQ(target, drawn.batch.tokens[m] + 3);
      targets.insert(target);
    }
    if (i + 1 < whole.draws) continue;
    ASSERT_NE(valid, nullptr);
    EXPECT_THAT(std::get<WholeNumbers>(valid->values), ElementsAre(1, 1, 0, 0, 0, 0, 0, 0))
        << "the shift token may be seen";
  }
  std::multiset<int64_t> expected;
  for (int64_t t = 3; t < 30; ++t) expected.insert(t);
  EXPECT_EQ(targets, expected) << "each once";
}

TEST_F(ShiftedTest, ShiftsAreDrawnAsOftenAsTheyShould) {
  const std::vector<double> half = shift_probabilities({4, ShiftDist::kGeometric, 0.5});
  EXPECT_EQ(half, (std::vector<double>{0.5, 0.25, 0.125, 0.125})) << "the last has what is left";
  EXPECT_EQ(shift_probabilities({3, ShiftDist::kGeometric, 1}), (std::vector<double>{1, 0, 0}));
  EXPECT_EQ(shift_probabilities({1, ShiftDist::kGeometric, 0.2}), std::vector<double>{1});
  const std::vector<double> zipf = shift_probabilities({3, ShiftDist::kZipf, 0.8, 2});
  EXPECT_NEAR(zipf[0] / zipf[2], 9, 1e-12);
  EXPECT_EQ(shift_at({1, 0, 0}, 0.999999), 1);
  EXPECT_EQ(shift_at({1, 0, 0}, 1), 1) << "what has no chance is never drawn";

  const Corpus corpus = counted(200);
  constexpr int64_t S = 6;
  constexpr int kRows = 4000;
  for (const ShiftOdds& odds :
       {ShiftOdds{S, ShiftDist::kGeometric, 0.5}, ShiftOdds{S, ShiftDist::kUniform},
        ShiftOdds{S, ShiftDist::kZipf, 0.8, 1.5}}) {
    DataOptions o = options(S);
    o.shift.odds = odds;
    const auto data = make_data_set({corpus}, o);
    const std::vector<double> p = shift_probabilities(odds);
    EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), 1, 1e-12);
    std::vector<double> counts(size_t(S), 0);
    Cursor cursor = data->start();
    for (int i = 0; i < kRows; ++i) {
      const Drawn drawn = data->next(cursor);
      cursor = drawn.after;
      ++counts.at(size_t(drawn.batch.tokens[0] - kShiftedVocab));
    }
    double chi_squared = 0;
    for (size_t s = 0; s < size_t(S); ++s)
      chi_squared += std::pow(counts[s] - kRows * p[s], 2) / (kRows * p[s]);
    EXPECT_LT(chi_squared, 20.5) << int(odds.dist);  // 5 degrees of freedom, p = 0.001
  }
}

TEST_F(ShiftedTest, ARowsShiftDependsOnSeedAndPlaceAlone) {
  const Corpus corpus = counted(200);
  const auto shifts = [&](uint64_t seed, int64_t B) {
    ShiftOptions o;
    o.odds = {4, ShiftDist::kUniform};
    o.text_vocab = kShiftedVocab;
    const Shifted data(
        std::make_shared<RandomWindows>(corpus, "train", B, kShiftedBlock - 1, 3, 0, 1, 3, 4), o,
        seed);
    std::vector<int64_t> all;
    Cursor cursor = data.start();
    while (all.size() < 24) {
      const Drawn drawn = data.next(cursor);
      cursor = drawn.after;
      for (int64_t b = 0; b < B; ++b)
        all.push_back(drawn.batch.tokens[size_t(b * kShiftedBlock)] - kShiftedVocab + 1);
    }
    return all;
  };
  EXPECT_EQ(shifts(5, 1), shifts(5, 4)) << "whatever batches rows come in";
  EXPECT_NE(shifts(5, 1), shifts(6, 1));
}

// What a column says of a target goes with it; what it says of a token stays.
TEST(ShiftedRows, ColumnsStayWithWhatTheyAreOf) {
  TokenBatch window = {1, 3, {10, 11, 12}, {-1, 12, 13}, {}};
  window.columns = {{"answer", WholeNumbers{0, 1, 1}, 0},  {"weight", RealNumbers{1, 2, 3}, 0},
                    {"segment", WholeNumbers{4, 4, 4}, 0}, {"position", WholeNumbers{0, 1, 2}, 0},
                    {"colour", WholeNumbers{7, 8, 9}, 0},  {"kind", WholeNumbers{5, 6}, 2},
                    {"ahead", WholeNumbers{14, -1}, 2}};
  const TokenBatch row = shifted_rows(window, {2}, 100);
  EXPECT_EQ(row.T, 4);
  EXPECT_THAT(row.tokens, ElementsAre(101, 10, 11, 12));
  EXPECT_THAT(row.targets, ElementsAre(-1, 12, 13, 14));
  const auto whole = [&](const char* name) {
    return std::get<WholeNumbers>(row.find(name)->values);
  };
  EXPECT_THAT(whole("answer"), ElementsAre(0, 1, 1, 1));
  EXPECT_THAT(std::get<RealNumbers>(row.find("weight")->values), ElementsAre(1, 2, 3, 3));
  EXPECT_THAT(whole("segment"), ElementsAre(4, 4, 4, 4));
  EXPECT_THAT(whole("position"), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(whole("colour"), ElementsAre(0, 7, 8, 9));
  EXPECT_THAT(whole("kind"), ElementsAre(5, 6));
  EXPECT_THAT(shifted_rows(window, {3}, 100).targets, ElementsAre(-1, 13, 14, -1));
  EXPECT_THAT(caught([&] { shifted_rows(window, {4}, 100); }).what(),
              HasSubstr("shift 4 needs 3 tokens behind a window, and there are 2"));
}

TEST_F(ShiftedTest, RowsOfAnswersEndWithTheirSample) {
  const Corpus corpus =
      testing::rows_corpus(temp_ / "rows", {testing::answer("ab", "cd")}, *testing::byte_pairs());
  DataOptions o = options(3, 2);
  o.rows.include_prompts = false;
  const auto data = make_data_set({corpus}, o);
  const TokenBatch row = data->next(data->start()).batch;
  // end a b c d end: only c, d and the last one are learned.
  EXPECT_THAT(row.tokens, ElementsAre(kShiftedVocab + 1, testing::kEnd, 'a', 'b', 'c', 'd'));
  EXPECT_THAT(row.targets, ElementsAre(-1, -1, 'c', 'd', testing::kEnd, -1));
}

TEST_F(ShiftedTest, ATextTooShortForTheLargestShiftIsRefused) {
  EXPECT_NO_THROW(require_shifts(counted(30, 12), kShiftedBlock, 4));
  const Error e = caught([&] { require_shifts(counted(30, 11), kShiftedBlock, 4); });
  for (const char* part :
       {"the split val", "has 11 tokens", "block_size = 8", "max_shift = 4", "at least 12"})
    EXPECT_THAT(e.what(), HasSubstr(part));
  const DataOptions o = options(4);
  EXPECT_NO_THROW(make_data_set({counted(12)}, o));
  EXPECT_ANY_THROW(make_data_set({counted(11)}, o));
}

TEST_F(ShiftedTest, OddsWithoutAMeaningAreRefused) {
  for (const double p : {0.0, -0.5, 1.5, std::nan("")})
    EXPECT_THAT(caught([&] {
                  shift_probabilities({3, ShiftDist::kGeometric, p});
                }).what(),
                HasSubstr("label_shift_prob = "));
  EXPECT_THAT(caught([] { shift_probabilities({0}); }).what(), HasSubstr("max_shift = 0"));
  EXPECT_THAT(caught([] {
                shift_probabilities({3, ShiftDist::kZipf, 0.8, 0});
              }).what(),
              HasSubstr("shift_zipf_a = 0"));
  const auto windows =
      std::make_shared<RandomWindows>(counted(60), "train", 1, kShiftedBlock - 1, 3, 0, 1, 2, 3);
  ShiftOptions o;
  o.odds.max_shift = 3;
  o.fixed = 4;
  EXPECT_THAT(caught([&] { Shifted(windows, o, 1); }).what(),
              HasSubstr("shift = 4 is beyond max_shift = 3"));
  o.fixed = 3;
  EXPECT_THAT(caught([&] { Shifted(windows, o, 1).next({}); }).what(),
              HasSubstr("the text's vocabulary, and that is not known"));
  o.text_vocab = kShiftedVocab;
  EXPECT_THAT(caught([&] {
                Shifted(windows, o, 1).next({{"row", INT64_MAX}});
              }).what(),
              HasSubstr("does not exist"));
}

TEST_F(ShiftedTest, TheFloorIsTheEntropyOfTheTargets) {
  // Three ids, 6, 3 and 3 times.
  const WholeNumbers targets = {1, 1, 2, 1, 3, 1, 2, 1, 3, 1, 2, 3};
  struct Once : DataSet {
    explicit Once(const WholeNumbers& t) : targets(t) {}
    Drawn next(const Cursor& cursor) const override {
      TokenBatch batch = empty_batch(1, int64_t(targets.size()) + 1);
      std::copy(targets.begin(), targets.end(), batch.targets.begin() + 1);
      return {batch, {{"batch", cursor["batch"] + 1}}, 1};
    }
    WholeNumbers targets;
  };
  const TargetFacts facts = target_facts(Once(targets), 1);
  EXPECT_EQ(facts.count, 12);
  EXPECT_NEAR(facts.unigram_entropy, 1.5 * std::log(2.0) + 2.0 / 24, 1e-12);
  EXPECT_EQ(target_facts(Once({}), 1).count, 0);
}

}  // namespace
}  // namespace fathom
