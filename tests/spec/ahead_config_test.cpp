// Keys of looking ahead: what they do to the vocabulary, and what is refused before a run.
#include "fathom/model/spec/ahead_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fathom/model/spec/depth_program.h"
#include "fathom/model/spec/early_policy.h"
#include "fathom/model/spec/parameter_table.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using testing::refusal_of;
using testing::resolved;
using testing::Settings;

// block_size 64.
constexpr const char* kAheadPreset = "gpt2ish_shakespeare_cpu";

TEST(AheadConfig, TheVocabularyGrowsByTheShifts) {
  const auto config = [](const Settings& more) {
    return resolved(kAheadPreset, more, {{"predict_ahead", "true"}, {"max_shift", "7"}}).config;
  };
  EXPECT_EQ(settled_vocab_size(config({}), 65), 72);
  EXPECT_EQ(settled_vocab_size(config({}), 0), 50257 + 7);
  EXPECT_EQ(settled_vocab_size(config({{"vocab_size", "128"}}), 65), 135) << "padded, then shifts";
  EXPECT_EQ(settled_vocab_size(config({{"predict_ahead", "false"}}), 65), 65);
  EXPECT_EQ(config({}).model.ahead.text_vocab(72), 65);
  EXPECT_EQ(shift_id(65, 1), 65);
  EXPECT_EQ(shift_id(65, 7), 71) << "the table's last row";
  const auto rows = [&](const Settings& more) {
    const RunConfig c = config(more);
    return parameter_count(parameter_table(c.model, settled_vocab_size(c, 65)));
  };
  const int64_t C = config({}).model.backbone.n_embd;
  EXPECT_EQ(rows({}) - rows({{"predict_ahead", "false"}}), 7 * C);
}

TEST(AheadConfig, RefusesByName) {
  struct Refused {
    Settings settings;
    std::vector<const char*> said;
  };
  const std::vector<Refused> cases = {
      {{{"max_shift", "64"}}, {"max_shift = 64", "block_size = 64"}},
      {{{"max_shift", "0"}}, {"max_shift = 0"}},
      {{{"label_shift_prob", "0"}}, {"label_shift_prob = 0"}},
      {{{"label_shift_prob", "1.5"}}, {"label_shift_prob = 1.5"}},
      {{{"shift_dist", "zipf"}, {"shift_zipf_a", "0"}}, {"shift_zipf_a = 0"}},
      {{{"shift_dist", "normal"}}, {"shift_dist = "}},
      {{{"shift", "11"}}, {"shift = 11", "max_shift = 10"}},
      {{{"pack_rows", "true"}}, {"pack_rows = true", "predict_ahead = true"}},
      {{{"row_overlap", "63"}}, {"row_overlap = 63", "block_size = 64", "predict_ahead = true"}},
  };
  for (const Refused& c : cases) {
    Settings settings = {{"predict_ahead", "true"}};
    settings.insert(settings.end(), c.settings.begin(), c.settings.end());
    const Error e = refusal_of([&] { resolved(kAheadPreset, settings); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage) << e.what();
    for (const char* part : c.said) EXPECT_THAT(e.what(), HasSubstr(part));
  }
  // What is off contradicts nothing.
  EXPECT_NO_THROW(resolved(kAheadPreset, {{"max_shift", "64"}, {"pack_rows", "true"}}));
}

TEST(EarlyPolicy, LeavesAtTheFirstReadout) {
  const auto model = [](const Settings& settings) {
    return resolved(kAheadPreset, settings).config.model;
  };
  for (const Settings& answers :
       {Settings{{"halt_rule", "max"}, {"halt_thresholds", "[1, 0.9, 0.8, 2]"}},
        Settings{{"layer_supervision", "all"}}}) {
    const Policy policy = early_policy(model(answers));
    EXPECT_EQ(policy.halting.config.threshold_at(0), 0);
    EXPECT_TRUE(policy.halting.halts());
    EXPECT_EQ(policy.halting.keys, KeyFate::kHidden);
    EXPECT_EQ(policy.halting.history, MaskHistory::kCumulative);
  }
  EXPECT_THAT(refusal_of([&] { early_policy(model({})); }).what(),
              HasSubstr("needs a model whose early layers answer"));
}

}  // namespace
}  // namespace fathom
