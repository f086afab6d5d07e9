// What is known of the optimisers without tensors.
#include "fathom/train/recipe/optimizer_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "fathom/model/spec/parameter_table.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;

TEST(OptimizerRules, HaveNamesOfTheirOwn) {
  std::set<std::string> names, titles;
  for (const OptimizerRule& rule : optimizer_rules()) {
    EXPECT_TRUE(names.insert(rule.name).second);
    EXPECT_TRUE(titles.insert(rule.title).second);
    EXPECT_EQ(&optimizer_rule(rule.name), &rule);
  }
  EXPECT_EQ(OptimizerConfig().optimizer, optimizer_rules().front().name);
}

// A misspelt one would never act.
TEST(OptimizerRules, ReadKeysThatThereAre) {
  OptimizerConfig config;
  FieldList list;
  add_fields(list, config);
  for (const OptimizerRule& rule : optimizer_rules())
    for (const std::string& key : rule.keys) {
      ASSERT_NE(list.find(key), nullptr) << rule.name << " reads " << key;
      ASSERT_EQ(list.find(key)->needed().size(), 1u) << key;
      EXPECT_THAT(list.find(key)->needed()[0], HasSubstr(rule.name)) << key;
    }
}

// Bytes of all the state, in bytes of weights.
TEST(OptimizerRules, KeepSoMuch) {
  const auto table = parameter_table(preset_config("gpt2ish").model, 50257);
  double weights = 0, inner = 0, tensors = 0;
  for (const ParameterSpec& spec : table) {
    const auto bytes = 4 * static_cast<double>(spec.count());
    weights += bytes;
    tensors += 1;
    if ((spec.part == Part::kMlp || spec.part == Part::kAttention) && spec.shape.size() == 2)
      inner += bytes;
  }
  const auto bytes = [&](const char* name) { return optimizer_bytes(optimizer_rule(name), table); };
  EXPECT_EQ(bytes("adamw"), 2 * weights);
  EXPECT_EQ(bytes("adam"), 2 * weights);
  EXPECT_EQ(bytes("adagrad"), weights);
  EXPECT_EQ(bytes("sgd"), weights);
  EXPECT_EQ(bytes("rmsprop"), weights);
  EXPECT_EQ(bytes("muon"), 2 * weights - inner);
  EXPECT_EQ(bytes("schedule_free_adamw"), 3 * weights + 4 * tensors);
}

// Of the matrices, tables and heads are not Muon's.
TEST(OptimizerRules, MuonsAreTheMatricesOfTheBlocks) {
  const OptimizerRule& muon = optimizer_rule("muon");
  std::set<std::string> own;
  RunConfig c = preset_config("test_runner");
  c.model.backbone.n_layer = 1;
  for (const ParameterSpec& spec : parameter_table(c.model, 50))
    if (muon.state(spec).size() == 1) own.insert(spec.name);
  EXPECT_EQ(own, (std::set<std::string>{"attention.0.qkv.weight", "attention.0.out.weight",
                                        "mlp.0.up.weight", "mlp.0.down.weight"}));
}

}  // namespace
}  // namespace fathom
