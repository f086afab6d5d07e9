// What holds of every data set; mixtures, drawing ahead, and which one a configuration asks for.
#include <atomic>
#include <thread>

#include "data/rows_testing.h"
#include "fathom/base/random.h"
#include "fathom/data/make_data_set.h"
#include "fathom/data/mixture.h"
#include "fathom/data/prefetched.h"
#include "fathom/data/prompt_rows.h"
#include "fathom/data/sample.h"
#include "fathom/data/shard_windows.h"

namespace fathom {
namespace {

using testing::answer;
using testing::byte_pairs;
using testing::caught;
using testing::counting;
using testing::draws;
using ::testing::ElementsAre;
using testing::HasSubstr;
using testing::same;
using testing::text_row;
using testing::write_shard;

using Made = std::shared_ptr<const DataSet>;

// Two corpora of rows, one of them with long ones, and one of shards.
struct Sources {
  Corpus few, many, shards;

  static Sources in(const testing::TempFolder& temp) {
    std::vector<Row> many;
    for (int i = 0; i < 7; ++i)
      many.push_back(i % 3 == 2 ? text_row("One two. Three four five. Six. Seven eight nine. Ten.")
                                : answer("q" + std::to_string(i), std::string(size_t(i), 'a')));
    std::filesystem::create_directories(temp / "shards");
    write_shard(temp / "shards/train_0.bin", counting(40, 100));
    write_shard(temp / "shards/train_1.bin", counting(25, 200));
    return {
        testing::rows_corpus(temp / "few", {answer("ab", "cd"), answer("", "e")}, *byte_pairs()),
        testing::rows_corpus(temp / "many", many, *byte_pairs()), Corpus::open(temp / "shards")};
  }
};

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
      EXPECT_EQ(std::get<WholeNumbers>(column.values).size(),
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
                         [](const auto& info) { return std::string(info.param.name); });

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

// Counts up, fails where it is told to, and knows who asked it.
class Counting : public DataSet {
 public:
  explicit Counting(int64_t bad = -1) : bad_(bad) {}
  Drawn next(const Cursor& cursor) const override {
    ++asked;
    if (std::this_thread::get_id() == first_) ++asked_by_caller;
    const int64_t n = cursor["n"];
    if (n == bad_) fail("number " + std::to_string(n) + " is bad");
    TokenBatch batch = empty_batch(1, 1);
    batch.tokens[0] = n;
    return {batch, {{"n", n + 1}}, 1};
  }
  mutable std::atomic<int> asked{0}, asked_by_caller{0};

 private:
  int64_t bad_;
  std::thread::id first_ = std::this_thread::get_id();
};

TEST(Prefetched, AnErrorComesWhereItBelongs) {
  for (const size_t depth : {1u, 4u}) {
    const auto data = std::make_shared<Counting>(3);
    const Prefetched ahead(data, depth);
    Cursor cursor;
    for (int64_t n = 0; n < 3; ++n) {
      const Drawn drawn = ahead.next(cursor);
      EXPECT_EQ(drawn.batch.tokens[0], n);
      cursor = drawn.after;
    }
    for (int i = 0; i < 2; ++i)
      EXPECT_STREQ(caught([&] { ahead.next(cursor); }).what(), "number 3 is bad");
    EXPECT_EQ(ahead.next({{"n", 4}}).batch.tokens[0], 4) << "the data behind it is sound";
    EXPECT_EQ(ahead.next({{"n", 5}}).batch.tokens[0], 5);
  }
}

TEST(Prefetched, OnlyWhatDoesNotFollowIsDrawnByTheCaller) {
  const auto data = std::make_shared<Counting>();
  const Prefetched ahead(data, 2);
  Cursor cursor;
  for (int i = 0; i < 50; ++i) cursor = ahead.next(cursor).after;
  EXPECT_EQ(data->asked_by_caller, 1) << "the first";
  cursor = ahead.next({{"n", 1000}}).after;
  EXPECT_EQ(ahead.next(cursor).batch.tokens[0], 1001);
  EXPECT_EQ(data->asked_by_caller, 2);
}

TEST(Prefetched, AnswersSeveralThreadsAtOnce) {
  const Prefetched ahead(std::make_shared<Counting>(), 3);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      Cursor cursor = {{"n", 1000 * (t / 2)}};  // two of them at the same places
      for (int64_t i = 0; i < 300; ++i) {
        const Drawn drawn = ahead.next(cursor);
        if (drawn.batch.tokens[0] != 1000 * (t / 2) + i) ++wrong;
        cursor = drawn.after;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Prefetched, EndsWhateverItIsAbout) {
  for (int i = 0; i < 50; ++i) {
    const Prefetched ahead(std::make_shared<Counting>(i % 3), 8);
    if (i % 2 == 0) static_cast<void>(ahead.next({{"n", 5}}));
  }
}

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
