// What a run's keys make of its corpora.
#include "fathom/train/recipe/data_options.h"
#include "fathom/train/recipe/plan_data.h"
#include "fathom/train/recipe/stage_data.h"

#include "data/rows_testing.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using testing::answer;
using testing::caught;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::resolved;
using testing::Settings;
using testing::text_row;

class DataOptionsTest : public testing::DataTest {
 protected:
  std::vector<Corpus> corpora_ = {
      testing::rows_corpus(temp_ / "few", {answer("ab", "cd"), answer("e", "f")},
                           *testing::byte_pairs()),
      testing::rows_corpus(
          temp_ / "many",
          {text_row("One two three four. Five six. Seven."), answer("q", "r"), answer("s", "t")},
          *testing::byte_pairs())};

  static Settings plus(Settings settings, const char* key, const char* text) {
    settings.emplace_back(key, text);
    return settings;
  }
  // The first draws under some settings, in one text.
  std::string drawn(const Settings& settings, bool evaluation = false) {
    Settings all = {{"block_size", "12"}, {"dataset", "few,many"}};
    all.insert(all.end(), settings.begin(), settings.end());
    const RunConfig config = resolved("gpt2ish_shakespeare", all).config;
    const auto data = make_data_set(corpora_, data_options(config, "train", evaluation));
    std::string text = std::to_string(*data->samples());
    for (const Drawn& one : testing::draws(*data, data->start(), 30)) {
      text += "\n" + std::to_string(one.samples);
      for (const int64_t token : one.batch.tokens) text += " " + std::to_string(token);
      for (const int64_t target : one.batch.targets) text += " " + std::to_string(target);
    }
    return text;
  }
};

TEST_F(DataOptionsTest, EachKeyChangesWhatIsDrawn) {
  const Settings weighted = {{"mixture", "weighted"}, {"mixture_weights", "[1, 1]"}};
  for (const auto& [key, text, beside] : {std::tuple{"include_prompts", "false", Settings()},
                                          {"dont_include_prompts", "true", Settings()},
                                          {"long_rows", "trim", Settings()},
                                          {"long_rows", "sentences", Settings()},
                                          {"row_overlap", "3", Settings()},
                                          {"pack_rows", "true", Settings()},
                                          {"shuffle_rows", "true", Settings()},
                                          {"seed", "5", Settings{{"shuffle_rows", "true"}}},
                                          {"mixture", "all_exhausted", Settings()},
                                          {"mixture_weights", "[1, 9]", weighted},
                                          {"seed", "5", weighted}})
    EXPECT_NE(drawn(beside), drawn(plus(beside, key, text))) << key << " = " << text;
  // An evaluation is in order.
  EXPECT_EQ(drawn({}, true), drawn({{"shuffle_rows", "true"}}, true));
  EXPECT_EQ(drawn({{"include_prompts", "false"}}), drawn({{"dont_include_prompts", "true"}}));
}

TEST_F(DataOptionsTest, SamplingIsOfShards) {
  std::filesystem::create_directories(temp_ / "shards");
  testing::write_shard(temp_ / "shards/train.bin", testing::counting(600));
  corpora_ = {Corpus::open(temp_ / "shards")};
  EXPECT_NE(drawn({}), drawn({{"sampling", "sequential"}}));
  EXPECT_EQ(drawn({}, true), drawn({{"sampling", "sequential"}}, true));
  EXPECT_NE(drawn({}, true), drawn({}, false));
}

// 600 tokens: 3 batches of 16 rows of 12, and 49 rows by themselves.
TEST_F(DataOptionsTest, BatchesOfShardsAreOfOnePass) {
  std::filesystem::create_directories(temp_ / "shards");
  testing::write_shard(temp_ / "shards/train.bin", testing::counting(600));
  corpora_ = {Corpus::open(temp_ / "shards")};
  const auto in_order = [&](Settings more, bool evaluation = false) {
    more.emplace_back("sampling", "batches");
    return drawn(more, evaluation).substr(0, 2);
  };
  EXPECT_EQ(in_order({{"batch_size", "16"}}), "48");
  EXPECT_EQ(in_order({{"batch_size", "7"}}), "49");
  EXPECT_EQ(in_order({{"batch_size", "32"}, {"mini_batch_size", "16"}}), "48");
  EXPECT_EQ(in_order({{"batch_size", "16"}}, true), "48");
  EXPECT_EQ(in_order({{"batch_size", "16"}, {"validation_batch_size", "20"}}, true), "40");
  const Settings small = {{"batch_size", "4"}};
  EXPECT_EQ(drawn(plus(small, "sampling", "batches"), true),
            drawn(plus(small, "sampling", "batches"), false));
  EXPECT_EQ(drawn(plus(small, "data_order", "batches")), drawn(plus(small, "sampling", "batches")));
}

TEST_F(DataOptionsTest, ShardsInOrderAreGivenAgainAfterARound) {
  std::filesystem::create_directories(temp_ / "shards");
  testing::write_shard(temp_ / "shards/train.bin", testing::counting(600));
  const auto times = [&](Settings settings, int64_t samples) {
    settings.insert(settings.begin(), {"block_size", "12"});
    StageRun stage;
    stage.config = resolved("gpt2ish_shakespeare", settings).config;
    stage.corpora = {Corpus::open(temp_ / "shards")};
    Progress progress;
    progress.samples = samples;
    return times_given_in(stage, progress);
  };
  const Settings batches = {{"sampling", "batches"}, {"batch_size", "16"}};
  EXPECT_EQ(times(batches, 16), 1);
  EXPECT_EQ(times(batches, 48), 1) << "three batches, though 600 tokens have 50 rows of 12";
  EXPECT_EQ(times(batches, 49), 2);
  EXPECT_EQ(times(batches, 97), 3);
  EXPECT_EQ(times(plus(plus({}, "sampling", "batches"), "batch_size", "64"), 64), 1)
      << "a text that is too short has no round";
  const Settings passes = {
      {"sampling", "batches"}, {"batch_size", "32"}, {"mini_batch_size", "16"}};
  EXPECT_EQ(times(passes, 64), 2);
  EXPECT_EQ(times({{"sampling", "sequential"}}, 49), 1);
  EXPECT_EQ(times({{"sampling", "sequential"}}, 50), 2);
  EXPECT_EQ(times({}, 5000), 1) << "drawn";
}

TEST(DataKeys, OfTwoSpellingsTheLaterOneCounts) {
  using Given = Settings;
  EXPECT_FALSE(
      resolved("gpt2", Given{{"include_prompts", "true"}, {"dont_include_prompts", "true"}})
          .config.data.include_prompts);
  const auto later =
      resolved("gpt2", Given{{"dont_include_prompts", "true"}, {"include_prompts", "true"}});
  EXPECT_TRUE(later.config.data.include_prompts);
  EXPECT_THAT(later.notices, Contains("dont_include_prompts = True has no effect: include_prompts "
                                      "was given after it"));
  EXPECT_FALSE(later.config.data.dont_include_prompts.has_value());
  EXPECT_TRUE(resolved("gpt2", {{"dont_include_prompts", "false"}}).config.data.include_prompts);
  EXPECT_TRUE(resolved("gpt2").config.data.include_prompts);
}

TEST(DataKeys, ContradictionsAreWrongUse) {
  const auto refusal = [](const Settings& settings) {
    const Error e = caught([&] { resolved("gpt2", settings); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    return std::string(e.what());
  };
  EXPECT_THAT(refusal({{"block_size", "16"}, {"row_overlap", "16"}}),
              HasSubstr("row_overlap = 16 is not below block_size = 16"));
  EXPECT_THAT(refusal({{"dataset", "a,b,c"}, {"mixture", "weighted"}, {"mixture_weights", "[1]"}}),
              HasSubstr("mixture_weights has 1 numbers for the 3 data sets"));
  EXPECT_NO_THROW(resolved("gpt2", {{"mixture_weights", "[1, 2, 3]"}}));
}

TEST(DataKeys, ADatasetMayBeAList) {
  EXPECT_THAT(data_parts("a, b/c,d"), ElementsAre("a", "b/c", "d"));
  EXPECT_THAT(data_parts("a,"), ElementsAre("a"));
  EXPECT_TRUE(data_parts("").empty());
}

TEST_F(DataOptionsTest, KeysOfRowsAreIdleWithoutThem) {
  std::filesystem::create_directories(temp_ / "plain");
  testing::write_shard(temp_ / "plain/train.bin", testing::counting(600));
  const Corpus plain = Corpus::open(temp_ / "plain");
  RunConfig config;
  FieldList list;
  add_fields(list, config);
  list.set_text("pack_rows", "true", "--pack_rows");
  EXPECT_THAT(
      keys_without_rows(list, {plain}),
      ElementsAre("pack_rows has no effect: plain is a text, not rows of prompts and answers"));
  EXPECT_TRUE(keys_without_rows(list, {plain, corpora_[0]}).empty());
}

}  // namespace
}  // namespace fathom
