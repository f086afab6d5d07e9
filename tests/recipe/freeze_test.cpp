#include "fathom/train/recipe/freeze.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fathom/train/recipe/registry.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using testing::refusal_of;

std::vector<ParameterSpec> table() {
  RunConfig c = preset_config("test_runner");
  c.model.backbone.n_layer = 2;
  return parameter_table(c.model, 50);
}

std::vector<std::string> trained(const OptimizerConfig& config) {
  std::vector<std::string> names;
  const auto specs = table();
  const std::vector<bool> frozen = frozen_parameters(config, specs);
  for (size_t i = 0; i < specs.size(); ++i)
    if (!frozen[i]) names.push_back(specs[i].name);
  return names;
}

OptimizerConfig with_freeze(bool all, const char* freeze, const char* unfreeze) {
  OptimizerConfig c;
  c.default_freeze = all;
  c.freeze = freeze;
  c.unfreeze = unfreeze;
  return c;
}

TEST(Freeze, TheLaterWordWins) {
  const size_t all = table().size();
  EXPECT_EQ(trained(with_freeze(false, "", "")).size(), all);
  EXPECT_EQ(trained(with_freeze(false, "mlp.0.*", "")).size(), all - 4);
  EXPECT_EQ(trained(with_freeze(false, "mlp.*, token_table.0.weight", "mlp.1.up.weight")).size(),
            all - 8);
  EXPECT_EQ(trained(with_freeze(true, "", "head.*")),
            (std::vector<std::string>{"head.0.weight", "head.0.bias"}));
  EXPECT_EQ(trained(with_freeze(true, "head.0.bias", "head.0.weight")),
            (std::vector<std::string>{"head.0.weight"}));
}

TEST(Freeze, WhatHasNoEffectIsRefused) {
  EXPECT_THAT(refusal_of([] { trained(with_freeze(true, "", "")); }).what(),
              HasSubstr("every parameter"));
  EXPECT_THAT(refusal_of([] { trained(with_freeze(false, "*", "")); }).what(),
              HasSubstr("every parameter"));
  const Error e = refusal_of([] { trained(with_freeze(false, "mlp.0.up.wieght", "")); });
  EXPECT_THAT(e.what(), HasSubstr("freeze = \"mlp.0.up.wieght\" names no parameter"));
  EXPECT_THAT(e.hint(), HasSubstr("did you mean mlp.0.up.weight?"));
  EXPECT_THAT(refusal_of([] { trained(with_freeze(false, "mlp.0", "")); }).hint(),
              HasSubstr("did you mean mlp.0.*?"));
  EXPECT_THAT(refusal_of([] { trained(with_freeze(false, "", "nothing.*")); }).what(),
              HasSubstr("unfreeze = \"nothing.*\""));
}

}  // namespace
}  // namespace fathom
