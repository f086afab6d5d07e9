// What a run's keys make of generated numbers.
#include "fathom/train/recipe/numbers_options.h"

#include <memory>
#include <set>

#include "data/rows_testing.h"
#include "effect_lists.h"
#include "fathom/data/numbers/numbers_data.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/train/recipe/data_options.h"
#include "fathom/train/recipe/plan_data.h"
#include "fathom/train/recipe/run_arguments.h"
#include "fathom/train/recipe/stage_data.h"
#include "fathom/train/recipe/stage_runs.h"
#include "fathom/train/recipe/training_plan.h"
#include "recipe/in_vain.h"
#include "source_path.h"

namespace fathom {
namespace {

using testing::caught;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::resolved;
using testing::Settings;

class NumbersOptions : public testing::DataTest {
 protected:
  static RunConfig config(Settings settings = {}) {
    settings.insert(settings.begin(), {{"dataset", "numbers"}, {"block_size", "256"}});
    return resolved("gpt2ish_shakespeare", settings).config;
  }
  static StageRun stage(const RunConfig& config) {
    std::vector<std::string> notices;
    StageRun run;
    run.config = config;
    run.budget = {Budget::Unit::kSteps, 10};
    run.corpora = open_data(config, notices);
    return run;
  }
  // Everything that a run is given under these settings.
  static std::string given(const Settings& settings) {
    const StageRun run = stage(config(settings));
    std::string text;
    const auto add = [&](const std::vector<Drawn>& draws) {
      for (const Drawn& one : draws) {
        for (const int64_t token : one.batch.tokens) text += " " + std::to_string(token);
        for (const int64_t op : testing::column(one.batch, kProgramOp))
          text += " " + std::to_string(op);
        text += "\n";
      }
    };
    const auto train = training_data(run), val = evaluation_data(run, "val");
    add(testing::draws(*train, train->start(), 30));
    add(testing::draws(*val, val->start(), 10));
    const auto whole = whole_split(run.corpora[0], run.config, "test", 4);
    return text + std::to_string(whole->draws()) + " " +
           std::to_string(run.config.sequences_per_step());
  }
};

TEST_F(NumbersOptions, EachKeyChangesWhatARunIsGiven) {
  std::set<std::string> tested;
  const std::string plain = given({});
  EXPECT_EQ(plain, given({{"seed", "5"}})) << "train_seed and val_seed are theirs";
  for (const testing::InVain& key : testing::in_vain_of_numbers()) {
    // What it refuses is below.
    Settings with = key.acts;
    with.push_back({key.key, key.text});
    EXPECT_EQ(given(key.acts) == given(with), std::string(key.key) == "max_cut_share") << key.key;
    tested.insert(key.key);
  }
  RunConfig config;
  FieldList list;
  add_fields(list, config);
  for (const Field& field : list.all())
    EXPECT_EQ(tested.count(field.name()), field.section() == "numbers") << field.name();
}

TEST_F(NumbersOptions, AStepHasAsManyExamplesAsAskedInPassesOfTheBatch) {
  const auto of = [](const Settings& more) {
    Settings settings = {{"dataset", "numbers"}, {"batch_size", "32"}};
    settings.insert(settings.end(), more.begin(), more.end());
    return resolved("gpt2ish_shakespeare", settings);
  };
  const auto larger =
      of({{"train_examples_per_batch", "100"}, {"gradient_accumulation_steps", "4"}});
  EXPECT_EQ(larger.config.sequences_per_step(), 100);
  EXPECT_EQ(larger.config.micro_batch_size(), 32);
  EXPECT_EQ(larger.config.sequences_per_evaluation(), of({}).config.sequences_per_evaluation());
  EXPECT_FALSE(larger.config.data.numbers.train_examples_per_batch);
  EXPECT_THAT(larger.notices, Contains("gradient_accumulation_steps = 4 has no effect: "
                                       "train_examples_per_batch = 100 takes its place"));
  EXPECT_EQ(of({{"train_examples_per_batch", "20"}}).config.micro_batch_size(), 20);
  EXPECT_EQ(of({{"val_examples_per_batch", "7"}}).config.training.validation_batch_size, 7);
  const Error both = caught([&] {
    of({{"train_examples_per_batch", "20"}, {"mini_batch_size", "10"}});
  });
  EXPECT_THAT(both.what(), HasSubstr("batch_size = 32 with mini_batch_size = 10"));
  // A run that goes on has them settled.
  const RunConfig& settled = larger.config;
  EXPECT_EQ(settled.data.batch_size, 100);
  EXPECT_EQ(settled.data.mini_batch_size, 32);
}

TEST_F(NumbersOptions, WithoutAMeaningIsWrongUseWhereTheyAct) {
  const auto refusal = [](const Settings& settings) {
    const Error e = caught([&] { config(settings); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    return std::string(e.what());
  };
  EXPECT_EQ(refusal({{"train_seed", "43"}}), "train_seed = 43 and val_seed = 43 are the same");
  EXPECT_THAT(refusal({{"value_range", "(3, -3)"}}), HasSubstr("value_range = [3, -3]"));
  EXPECT_THAT(refusal({{"base", "16"}}), HasSubstr("base ten"));
  EXPECT_THAT(refusal({{"g_loss_weight", "100"}}), HasSubstr("digits and gates"));
  EXPECT_NO_THROW(resolved("gpt2", {{"train_seed", "43"}}));
  EXPECT_EQ(config({{"sequence_length", "32"}}).model.backbone.block_size, 32);
  EXPECT_EQ(config({{"algebraic_noise", "0.5"}}).data.numbers.algebraic_noise, 0.5);
}

TEST_F(NumbersOptions, TheModelsProgramsDecideTheDepth) {
  const auto architecture = std::make_shared<Architecture>();
  architecture->name = "folds";
  architecture->program_depth_key = "folds_deep";
  architecture->program_depth = [](const ModelConfig& c) {
    return std::optional<int64_t>(c.backbone.n_layer);
  };
  RunConfig c = config();
  EXPECT_EQ(c.data.numbers.depth, 4);
  EXPECT_EQ(numbers_of(c).label_depth, 0);
  c.model.architecture = architecture;
  c.model.backbone.n_layer = 6;
  c.data.numbers.depth.reset();
  EXPECT_EQ(numbers_of(c).depth, 6);
  c.data.numbers.depth = 3;
  EXPECT_EQ(numbers_of(c).depth, 3);
  EXPECT_EQ(numbers_of(c).label_depth, 6);
  c.data.numbers.depth = 7;
  EXPECT_THAT(caught([&] { numbers_of(c); }).what(),
              HasSubstr("numbers_depth = 7 is above folds_deep = 6"));
  c.data.numbers.stream_share = 1;
  EXPECT_EQ(numbers_of(c).depth, 7) << "a stream has no labels";
  EXPECT_EQ(numbers_of(c).label_depth, 6);
  c.data.numbers.stream_labels = true;
  EXPECT_THAT(caught([&] { numbers_of(c); }).hint(), HasSubstr("--stream_labels=False"));
  c.data.numbers.stream_labels = false;
  architecture->change_plan = [](const ModelConfig&, DepthPlan& plan, Policy&) {
    plan.answers = "with programs alone";
  };
  const Error idle = caught([&] { numbers_of(c); });
  EXPECT_THAT(idle.what(), HasSubstr("streams alone, which have no labels"));
  EXPECT_THAT(idle.hint(), HasSubstr("--stream_labels=True"));
  c.data.numbers.stream_share = 0;
  EXPECT_THAT(caught([&] { numbers_of(c); }).hint(), ::testing::Not(HasSubstr("stream_share")));
  c.model.backbone.n_layer = 0;
  EXPECT_EQ(numbers_of(c).depth, 7) << "a model without programs";
}

TEST_F(NumbersOptions, TheNameIsTheGeneratedCorpuss) {
  const RunConfig c = config({{"numbers_tokenizer", "byte"}});
  EXPECT_TRUE(open_corpus("numbers", c).is_generated());
  EXPECT_EQ(likely_corpus_vocab(c), 256);
  EXPECT_EQ(prepared_data("numbers"), "numbers");
  EXPECT_TRUE(is_prepared("numbers"));
  testing::rows_corpus(temp_ / "data/numbers", {testing::answer("a", "b")}, *testing::byte_pairs());
  EXPECT_TRUE(open_corpus("numbers", c).is_generated());
  EXPECT_TRUE(open_corpus(temp_ / "data/numbers", c).has_rows());
  std::vector<std::string> notices;
  open_data(c, notices);
  EXPECT_THAT(notices, Contains(HasSubstr("is another corpus")));
}

// Of a folder that has no name of a corpus, too.
TEST_F(NumbersOptions, VocabulariesOfFoldersAreKnownBeforeTheyAreOpened) {
  std::filesystem::create_directories(temp_ / "theirs");
  std::filesystem::copy_file(testing::source_path("tests/golden/meta_pickle/padded.pkl"),
                             temp_ / "theirs/meta.pkl");
  for (const char* file : {"theirs/train.bin", "theirs/val.bin"})
    testing::spill(temp_ / file, std::string("\1\0\2\0", 4));
  RunConfig c = preset_config("gpt2");
  c.data.dataset = temp_ / "theirs";
  EXPECT_EQ(likely_corpus_vocab(c), 64);
  c.data.dataset = temp_ / "nobodys";
  EXPECT_EQ(likely_corpus_vocab(c), 0);
}

TEST_F(NumbersOptions, SaysWhatIsCutAndWhatIsIdle) {
  for (const char* tokenizer : {"char", "byte"}) {
    std::vector<std::string> notices;
    open_data(config({{"numbers_tokenizer", tokenizer}, {"block_size", "64"}}), notices);
    EXPECT_THAT(notices, Contains(HasSubstr("block_size = 64 cuts "))) << tokenizer;
    const Error most = caught([&] {
      open_data(config({{"numbers_tokenizer", tokenizer}, {"sequence_length", "16"}}), notices);
    });
    EXPECT_EQ(most.kind(), ErrorKind::kUsage);
    EXPECT_THAT(most.what(), HasSubstr("block_size = 16 cuts "));
    EXPECT_THAT(most.hint(), HasSubstr("--block_size="));
  }
  RunConfig c;
  FieldList list;
  add_fields(list, c);
  list.set_text("pack_rows", "true", "--pack_rows");
  list.set_text("sampling", "sequential", "--sampling");
  EXPECT_THAT(keys_without_rows(list, {Corpus::generated({})}),
              ElementsAre("sampling has no effect: numbers is generated in one order",
                          "pack_rows has no effect: numbers is generated, not rows of prompts and "
                          "answers"));
}

TEST_F(NumbersOptions, AnIdentityThatIsNotDrawnIsTold) {
  const auto told = [](Settings settings) {
    settings.insert(settings.begin(), {"dataset", "numbers"});
    std::string all;
    for (const std::string& notice : resolved("gpt2ish_shakespeare", settings).notices)
      if (notice.find("identity") != std::string::npos) all += notice;
    return all;
  };
  EXPECT_EQ(told({{"number_operations", "add, identity"}}),
            "identity in number_operations has no effect: number_identity = pad fills programs up "
            "with it, and draws the others");
  EXPECT_EQ(told({{"number_operations", "add, identity"}, {"number_identity", "none"}}),
            "identity in number_operations has no effect: number_identity = none has none");
  EXPECT_EQ(told({{"number_operations", "add, identity"}, {"number_identity", "anywhere"}}), "");
  EXPECT_EQ(told({{"number_identity", "none"}}), "") << "nobody asked for it";
}

// test has no expression of these, and training does not read it.
TEST_F(NumbersOptions, OnlyTheSplitsThatAreReadNeedExamples) {
  std::vector<std::string> notices;
  const RunConfig few =
      config({{"value_range", "[1, 2]"}, {"max_decimal_places", "0"}, {"numbers_depth", "1"}});
  EXPECT_EQ(open_data(few, notices).size(), 1U);
  EXPECT_THAT(caught([&] { whole_split(open_corpus("numbers", few), few, "test", 4); }).what(),
              HasSubstr("of the split test"));
}

TEST_F(NumbersOptions, AStagesLengthIsForeseen) {
  StageRun run = stage(config({{"batch_size", "8"}, {"block_size", "64"}}));
  const Forecast of_examples = forecast(run);
  EXPECT_TRUE(of_examples.is_estimate);
  EXPECT_FALSE(of_examples.epoch);
  ASSERT_TRUE(of_examples.tokens);
  EXPECT_GT(*of_examples.tokens, 10 * 8 * 10);
  EXPECT_LT(*of_examples.tokens, 10 * 8 * 64);
  run = stage(config({{"batch_size", "8"},
                      {"block_size", "64"},
                      {"stream_share", "1"},
                      {"sampling", "sequential"}}));
  EXPECT_FALSE(forecast(run).is_estimate);
  EXPECT_EQ(forecast(run).tokens, 10 * 8 * 64);
  Progress progress;
  progress.samples = 100000;
  EXPECT_EQ(times_given_in(run, progress), 1);
  EXPECT_EQ(evaluation_draws(run, "val", 100000), 100000);
}

TEST_F(NumbersOptions, StagesMayHaveNumbersOfTheirOwn) {
  const TrainingPlan plan = read_plan(R"({"easy": {"steps": 5, "overrides": {"max_operations": 1}},
                    "hard": {"steps": 5}, "endless": {"epochs": 1}})",
                                      "x.json")
                                .plan;
  const ResolvedPlan looked = look_over(plan, config());
  ASSERT_EQ(looked.mistakes.size(), 1U);
  EXPECT_THAT(looked.mistakes[0].what(), HasSubstr("the stage endless: a budget of 1 epoch"));
  EXPECT_THAT(looked.mistakes[0].hint(), HasSubstr("steps"));
  EXPECT_NE(looked.stages[0].corpora[0].fingerprint(), looked.stages[1].corpora[0].fingerprint());
  for (const Drawn& one : testing::draws(*training_data(looked.stages[0]), {}, 20)) {
    const WholeNumbers& ops = testing::column(one.batch, kProgramOp);
    EXPECT_THAT((WholeNumbers{ops.begin(), ops.begin() + 3}), ElementsAre(4, 4, 4));
  }
}

TEST_F(NumbersOptions, GoOnWhereTheyWereInterrupted) {
  const auto data = training_data(stage(config()));
  const std::vector<Drawn> all = testing::draws(*data, data->start(), 20);
  const nlohmann::json saved = all[11].after;
  const auto resumed = training_data(stage(config()));
  const std::vector<Drawn> rest = testing::draws(*resumed, saved.get<Cursor>(), 8);
  for (size_t i = 0; i < rest.size(); ++i) EXPECT_TRUE(testing::same(rest[i], all[12 + i]));
}

}  // namespace
}  // namespace fathom
