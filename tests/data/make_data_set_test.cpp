#include "fathom/data/make_data_set.h"

#include <algorithm>

#include "data/rows_testing.h"
#include "fathom/data/sample.h"
#include "fathom/data/shard_windows.h"

namespace fathom {
namespace {

using testing::answer;
using testing::byte_pairs;
using testing::caught;
using testing::draws;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::same;
using testing::Sources;

using Made = std::shared_ptr<const DataSet>;

class MakeDataSet : public testing::DataTest {
 protected:
  Sources sources_ = Sources::in(temp_);
  DataOptions options_;
  MakeDataSet() { options_.rows.T = 8; }

  Drawn first(const std::vector<Corpus>& corpora) {
    const Made made = make_data_set(corpora, options_);
    return made->next(made->start());
  }
};

TEST_F(MakeDataSet, TakesWhatTheCorpusIsMadeOf) {
  options_.seed = 4;
  EXPECT_TRUE(
      same(first({sources_.shards}), RandomWindows(sources_.shards, "train", 1, 8, 4).next({})));
  options_.sequential = true;
  EXPECT_EQ(first({sources_.shards}).batch.tokens[0], 100);
  EXPECT_EQ(first({sources_.few}).batch.tokens, testing::ids("|abcd"));
  EXPECT_THAT(caught([&] { first({}); }).hint(), HasSubstr("--dataset"));
  options_.split = "vol";
  EXPECT_THAT(caught([&] { first({sources_.few}); }).what(), HasSubstr("has no split \"vol\""));
}

TEST_F(MakeDataSet, AnEvaluationSeesTheSameEveryTime) {
  options_.evaluation = true;
  options_.sequential = true;
  options_.seed = 4;
  EXPECT_TRUE(
      same(first({sources_.shards}),
           RandomWindows(sources_.shards, "train", 1, 8, 4 + kEvaluationSeedOffset).next({})));
  options_.rows.shuffle = true;
  const Made made = make_data_set({sources_.many}, options_);
  EXPECT_EQ(made->next({}).batch.tokens, testing::ids("|q0")) << "rows in their order";
}

// Shards of 40 and 25 tokens: two batches of two rows of 8, and one.
TEST_F(MakeDataSet, OfBatchesEvaluationsBeginAtTheBeginningToo) {
  options_.rows_of_batch = 2;
  for (const bool evaluation : {false, true}) {
    options_.evaluation = evaluation;
    const Made made = make_data_set({sources_.shards}, options_);
    std::vector<int64_t> first;
    for (const Drawn& drawn : draws(*made, made->start(), 7))
      first.push_back(drawn.batch.tokens[0] - 100);
    EXPECT_THAT(first, ElementsAre(0, 8, 16, 24, 100, 108, 0));
    EXPECT_EQ(made->samples(), 6);
  }
  EXPECT_EQ(coverage_notice(sources_.shards, options_),
            "an epoch of shards is 3 batches of 2 x 8 tokens, of its 65");
  options_.rows_of_batch = 0;
  EXPECT_EQ(coverage_notice(sources_.shards, options_), "");
}

TEST_F(MakeDataSet, AWholeSplitIsEveryTargetOnce) {
  options_.rows.shuffle = options_.rows.pack = true;
  for (const Corpus& corpus : {sources_.many, sources_.shards}) {
    const WholeSplit whole = whole_split(corpus, options_);
    int64_t targets = 0;
    for (const Drawn& drawn : draws(*whole.data, whole.data->start(), int(whole.draws)))
      targets += std::count_if(drawn.batch.targets.begin(), drawn.batch.targets.end(),
                               [](int64_t target) { return target >= 0; });
    if (!corpus.has_rows()) {
      EXPECT_EQ(targets, 39 + 24);
      continue;
    }
    int64_t tokens = 0;
    for (uint64_t i = 0; i < corpus.rows("train")->size(); ++i)
      tokens +=
          int64_t(make_sample(*corpus.tokenizer(), corpus.rows("train")->row(i)).tokens.size()) - 1;
    EXPECT_EQ(targets, tokens);
  }
}

TEST_F(MakeDataSet, LooksAhead) {
  options_.rows.ahead = 2;
  options_.sequential = true;
  EXPECT_THAT(testing::column(first({sources_.shards}).batch, "ahead"), ElementsAre(109, 110));
  EXPECT_THAT(testing::column(first({sources_.few}).batch, "ahead"), ElementsAre(-1, -1));
  options_.rows.T = 3;
  EXPECT_THAT(testing::column(first({sources_.few}).batch, "ahead"),
              ElementsAre('d', testing::kEnd));
  options_.rows.pack = true;
  EXPECT_THAT(testing::column(first({sources_.few}).batch, "ahead"),
              ElementsAre('d', testing::kEnd));
}

TEST_F(MakeDataSet, SeveralCorporaAreMixed) {
  const Corpus other = testing::rows_corpus(temp_ / "other", {answer("x", "y")}, *byte_pairs());
  const std::vector<Corpus> both = {sources_.few, other};
  EXPECT_EQ(make_data_set(both, options_)->samples(), 2);
  options_.mixture = MixtureRule::kAllExhausted;
  EXPECT_EQ(make_data_set(both, options_)->samples(), 4);
  options_.mixture = MixtureRule::kWeighted;
  options_.mixture_weights = {0, 1};
  EXPECT_EQ(first(both).batch.tokens, testing::ids("|xy"));
  const Corpus bytes =
      testing::rows_corpus(temp_ / "bytes", {answer("x", "y")}, *make_byte_tokenizer());
  EXPECT_THAT(caught([&] {
                first({sources_.few, bytes});
              }).what(),
              HasSubstr("few and bytes do not have the same tokens"));
}

}  // namespace
}  // namespace fathom
