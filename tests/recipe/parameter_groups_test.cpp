// Groups of parameters: what is read, what is refused, and who gets what.
#include "fathom/train/recipe/parameter_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fathom/train/recipe/decay.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::refusal_of;
using testing::resolved;

std::vector<ParameterSpec> grouped_table() {
  RunConfig c = preset_config("test_runner");
  c.model.backbone.n_layer = 2;
  return parameter_table(c.model, 50);
}

OptimizerConfig with_groups(const std::string& groups, const char* freeze = "") {
  OptimizerConfig c = preset_config("test_runner").optimizer;
  c.parameter_groups = groups;
  c.freeze = freeze;
  return c;
}

ParameterSetting setting_of(const std::string& name, const OptimizerConfig& config) {
  const std::vector<ParameterSpec> specs = grouped_table();
  const std::vector<ParameterSetting> settings = parameter_settings(config, specs);
  for (size_t i = 0; i < specs.size(); ++i)
    if (specs[i].name == name) return settings[i];
  ADD_FAILURE() << "no " << name;
  return {};
}

TEST(ParameterGroups, AreReadAsTheyAreWritten) {
  const auto groups = read_parameter_groups(
      " head.* : lr=0.1 ,decay = 0;mlp.0.*:frozen_until=500;; "
      "*:lr=2,frozen_until=1e3,decay=0.25; ");
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].pattern, "head.*");
  EXPECT_EQ(groups[0].rate, 0.1);
  EXPECT_EQ(groups[0].decay, 0.0);
  EXPECT_EQ(groups[0].frozen_until, 0);
  EXPECT_EQ(groups[1].pattern, "mlp.0.*");
  EXPECT_EQ(groups[1].rate, 1);
  EXPECT_EQ(groups[1].decay, std::nullopt);
  EXPECT_EQ(groups[1].frozen_until, 500);
  EXPECT_EQ(groups[2].rate, 2);
  EXPECT_EQ(groups[2].decay, 0.25);
  EXPECT_EQ(groups[2].frozen_until, 1000);
  for (const char* nothing : {"", " ", ";", " ; ;"})
    EXPECT_THAT(read_parameter_groups(nothing), IsEmpty());
}

TEST(ParameterGroups, WhatIsNoneIsRefusedWithWhatIsWrong) {
  const auto refused = [](const char* text) {
    const Error e = refusal_of([&] { resolved("gpt2ish", {{"parameter_groups", text}}); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage) << text;
    EXPECT_THAT(e.what(), HasSubstr("parameter_groups")) << text;
    EXPECT_THAT(e.hint(), HasSubstr("head.*: lr=0.1")) << text;
    return std::string(e.what());
  };
  EXPECT_THAT(refused("head.*"), HasSubstr("has no colon"));
  EXPECT_THAT(refused(": lr=1"), HasSubstr("names no parameters"));
  EXPECT_THAT(refused("head.*:"), HasSubstr("sets nothing"));
  EXPECT_THAT(refused("head.*: lr"), HasSubstr("lr = \"\" is no number"));
  EXPECT_THAT(refused("head.*: lr=fast"), HasSubstr("lr = \"fast\" is no number"));
  EXPECT_THAT(refused("head.*: lr=True"), HasSubstr("is no number"));
  EXPECT_THAT(refused("head.*: lr=nan"), HasSubstr("lr = nan is out of range"));
  EXPECT_THAT(refused("head.*: lr=0"), AllOf(HasSubstr("lr = 0"), HasSubstr("0 < lr")));
  EXPECT_THAT(refused("head.*: decay=-1"), HasSubstr("0 <= decay"));
  EXPECT_THAT(refused("head.*: frozen_until=1.5"), HasSubstr("whole numbers"));
  EXPECT_THAT(refused("head.*: frozen_until=1e15"), HasSubstr("whole numbers"));
  EXPECT_THAT(refused("head.*: lr=1, lr=2"), HasSubstr("twice"));
  EXPECT_THAT(refused("head.*: lr=1,,decay=1"), HasSubstr("is no setting"));
  EXPECT_THAT(refused("head.*: rate=1"),
              AllOf(HasSubstr("\"rate\""), HasSubstr("allowed: lr, decay, frozen_until")));
}

TEST(ParameterGroups, TheFirstThatFitsCounts) {
  const OptimizerConfig c =
      with_groups("mlp.0.up.*: lr=3; mlp.0.*: decay=0.5; mlp.*: frozen_until=7");
  EXPECT_EQ(setting_of("mlp.0.up.weight", c).rate, 3);
  EXPECT_EQ(setting_of("mlp.0.up.weight", c).weight_decay, 0.01) << "as without a group";
  EXPECT_EQ(setting_of("mlp.0.up.bias", c).weight_decay, 0);
  EXPECT_EQ(setting_of("mlp.0.down.weight", c).rate, 1);
  EXPECT_EQ(setting_of("mlp.0.down.weight", c).weight_decay, 0.5);
  EXPECT_EQ(setting_of("mlp.0.down.bias", c).weight_decay, 0.5) << "whatever decay_rule says";
  EXPECT_EQ(setting_of("mlp.0.down.bias", c).frozen_until, 0);
  EXPECT_EQ(setting_of("mlp.1.down.bias", c).frozen_until, 7);
  EXPECT_TRUE(setting_of("mlp.1.down.bias", c).frozen_at(6));
  EXPECT_FALSE(setting_of("mlp.1.down.bias", c).frozen_at(7));
  EXPECT_EQ(setting_of("attention.0.qkv.weight", c).rate, 1);
}

TEST(ParameterGroups, WithoutThemTheRuleOfDecayHolds) {
  const std::vector<ParameterSpec> specs = grouped_table();
  for (const DecayRule rule : {DecayRule::kMatrices, DecayRule::kMlpAndHead}) {
    OptimizerConfig c = with_groups("");
    c.decay_rule = rule;
    const std::vector<ParameterSetting> settings = parameter_settings(c, specs);
    for (size_t i = 0; i < specs.size(); ++i)
      EXPECT_EQ(settings[i].weight_decay, decays(specs[i], rule) ? 0.01 : 0.0) << specs[i].name;
  }
}

TEST(ParameterGroups, WhatIsFrozenStaysSo) {
  const OptimizerConfig c = with_groups("mlp.*: frozen_until=5", "mlp.0.*");
  EXPECT_TRUE(setting_of("mlp.0.up.weight", c).frozen_at(5));
  EXPECT_FALSE(setting_of("mlp.1.up.weight", c).frozen_at(5));
}

TEST(ParameterGroups, WhatHasNoEffectIsRefused) {
  const auto refused = [](const OptimizerConfig& c) {
    return refusal_of([&] { parameter_settings(c, grouped_table()); });
  };
  EXPECT_THAT(refused(with_groups("mlp.0.up.wieght: lr=2")).what(),
              HasSubstr("parameter_groups = \"mlp.0.up.wieght\" names no parameter"));
  EXPECT_THAT(refused(with_groups("mlp.0.up.wieght: lr=2")).hint(),
              HasSubstr("did you mean mlp.0.up.weight?"));
  EXPECT_THAT(refused(with_groups("mlp.*: lr=2; mlp.0.*: lr=3")).what(),
              HasSubstr("all that \"mlp.0.*\" names is in the groups before it"));
  EXPECT_THAT(refused(with_groups("*: frozen_until=3")).what(),
              HasSubstr("every parameter is frozen in the first step"));
  EXPECT_THAT(refused(with_groups("mlp.*: frozen_until=3", "[!m]*")).what(),
              HasSubstr("every parameter is frozen in the first step"));
}

}  // namespace
}  // namespace fathom
