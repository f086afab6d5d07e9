// use_baseline_model: the plain model whatever presets and files say, but for what was typed.
#include "fathom/train/recipe/baseline.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "fathom/config/config_file.h"
#include "fathom/model/spec/parameter_table.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::refusal_of;
using testing::Resolved;
using testing::resolved;
using testing::Settings;

constexpr const char* kLoopingFile =
    "loop_groups = [[1, 2], [3]]\nmax_loops = 15\nloop_noise_scale = 1.0\ninit = 'takase'\n"
    "block_style = 'sandwich'\nscale_embeddings = True\nlearning_rate = 1e-4\n";

// A preset with a config file of a notebook's, and then what was typed.
Resolved with_file(const Settings& typed) {
  Resolved r;
  r.config = preset_config("gpt2ish_shakespeare");
  FieldList list;
  add_fields(list, r.config);
  read_config_text(kLoopingFile, "config/train_looped.py", list);
  for (const auto& [key, text] : typed) list.set_text(key, text, "--" + key);
  r.notices = resolve(list, r.config);
  return r;
}

TEST(BaselineModel, LeavesOutWhatFilesSayOfLoops) {
  for (const char* spelling : {"use_baseline_model", "use_model_baseline"}) {
    const Resolved r = with_file({{spelling, "True"}});
    EXPECT_THAT(r.notices, ElementsAre("use_baseline_model = true trains the plain model: "
                                       "block_style, scale_embeddings, loop_groups, max_loops, "
                                       "loop_noise_scale, init are left out"));
    EXPECT_FALSE(r.config.model.looping.loops());
    EXPECT_EQ(r.config.optimizer.learning_rate, 1e-4) << "what is no matter of loops counts";
    const ModelConfig plain = resolved("gpt2ish_shakespeare").config.model;
    const auto table = parameter_table(r.config.model, 65), expected = parameter_table(plain, 65);
    ASSERT_EQ(table.size(), expected.size());
    for (size_t i = 0; i < table.size(); ++i) {
      EXPECT_EQ(table[i].name, expected[i].name);
      EXPECT_EQ(table[i].init.scale, expected[i].init.scale);
    }
  }
  EXPECT_TRUE(with_file({{"use_baseline_model", "False"}}).config.model.looping.loops());
}

TEST(BaselineModel, ConflictsWithWhatWasTyped) {
  for (const auto& [key, text] :
       {std::pair{"loop_groups", "[[2]]"}, {"max_loops", "7"}, {"block_style", "huginn"}}) {
    const Error e = refusal_of([&, k = key, t = text] {
      with_file({{k, t}, {"use_baseline_model", "true"}});
    });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.what(), AllOf(HasSubstr(key), HasSubstr("use_baseline_model = true")));
    EXPECT_THAT(e.hint(), HasSubstr(key));
  }
  // What asks for the plain model is no contradiction, and a typed initialisation is meant.
  EXPECT_NO_THROW(with_file({{"loop_groups", "[]"}, {"use_baseline_model", "true"}}));
  const Resolved r = with_file({{"init", "takase"}, {"use_baseline_model", "true"}});
  EXPECT_EQ(r.config.model.backbone.init, Init::kTakase);
}

TEST(BaselineModel, HasNoEvaluationsOfLoops) {
  const Resolved r = resolved("looped_tiny", {{"use_baseline_model", "true"}});
  EXPECT_EQ(r.config.training.evaluations, "train; val");
  EXPECT_THAT(r.notices, Contains(HasSubstr("evaluations of loops are left out")));
  const Error e = refusal_of([] {
    resolved("looped_tiny",
             {{"use_baseline_model", "true"}, {"evaluations", "val; few: max_loops=2"}});
  });
  EXPECT_THAT(e.what(), AllOf(HasSubstr("evaluations = "), HasSubstr("use_baseline_model = true")));
  EXPECT_EQ(resolved("looped_tiny", {{"use_baseline_model", "true"}, {"evaluations", "val"}})
                .config.training.evaluations,
            "val");
}

TEST(BaselineModel, ChangesNothingWhereNothingLoops) {
  const Resolved r = resolved("gpt2ish_shakespeare", {{"use_baseline_model", "true"}});
  EXPECT_THAT(r.notices, Not(Contains(HasSubstr("left out"))));
  // Once more over what it was resolved to, as a resumed run is.
  RunConfig again = with_file({{"use_baseline_model", "true"}}).config;
  FieldList list;
  add_fields(list, again);
  EXPECT_THAT(resolve(list, again), Not(Contains(HasSubstr("left out"))));
}

}  // namespace
}  // namespace fathom
