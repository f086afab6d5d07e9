// freeze_gpt beside the keys that freeze by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "experiments/dag/dag_config.h"
#include "fathom/train/recipe/consequences.h"
#include "fathom/train/recipe/freeze.h"
#include "fathom/train/recipe/numbers_options.h"
#include "fathom/train/recipe/parameter_groups.h"
#include "recipe/config_testing.h"
#include "train/testing.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using testing::resolved;

// Names of what a run of dag_small_stack trains; `plain`: those of the model without the DAG.
std::set<std::string> trained_with(const testing::Settings& typed) {
  const RunConfig config = resolved("dag_small_stack", typed).config;
  const std::vector<ParameterSpec> table = parameter_table(config.model, 50);
  const std::vector<bool> frozen = frozen_parameters(config.optimizer, table);
  std::set<std::string> names;
  for (size_t i = 0; i < table.size(); ++i)
    if (!frozen[i]) names.insert(table[i].name);
  return names;
}

std::set<std::string> named_dag() {
  std::set<std::string> names;
  for (const std::string& name : trained_with({}))
    if (name.rfind("dag.", 0) == 0) names.insert(name);
  return names;
}

TEST(DagFreezing, FreezeAllButTheDag) {
  std::set<std::string> of_dag = trained_with({});
  for (const std::string& name : trained_with({{"dag_depth", "0"}})) of_dag.erase(name);
  EXPECT_EQ(trained_with({{"freeze_gpt", "True"}}), of_dag);
}

// The keys of the user are theirs: the switch adds to them and takes nothing out of them.
TEST(DagFreezing, FreezingByHandHasTheLastWord) {
  const std::set<std::string> dag = named_dag();
  EXPECT_FALSE(dag.empty());
  EXPECT_EQ(trained_with({{"freeze", "*"}, {"unfreeze", "dag.*"}}), dag);
  EXPECT_EQ(trained_with({{"default_freeze", "True"}, {"unfreeze", "dag.*"}}), dag);
  std::set<std::string> both =
      trained_with({{"default_freeze", "True"}, {"unfreeze", "dag.*,norm_out.*"}});
  for (const std::string& name : dag) EXPECT_EQ(both.erase(name), 1U) << name;
  EXPECT_FALSE(both.empty());
  for (const std::string& name : both) EXPECT_EQ(name.rfind("norm_out.", 0), 0U) << name;

  const std::set<std::string> alone = trained_with({{"freeze_gpt", "True"}});
  std::set<std::string> less = alone;
  EXPECT_EQ(less.erase("dag.gate.bias"), 1U);
  EXPECT_EQ(trained_with({{"freeze_gpt", "True"}, {"freeze", "dag.gate.bias"}}), less);
  std::set<std::string> wider = trained_with({{"freeze_gpt", "True"}, {"unfreeze", "norm_out.*"}});
  EXPECT_GT(wider.size(), alone.size());
  for (const std::string& name : alone) wider.erase(name);
  for (const std::string& name : wider) EXPECT_EQ(name.rfind("norm_out.", 0), 0U) << name;
}

// All that a predictor has of the model, and nothing else.
TEST(DagFreezing, ThePredictorHasSettingsOfItsOwn) {
  const auto settings = [](testing::Settings typed) {
    typed.push_back({"dag_adapter", "True"});
    const RunConfig config = resolved("dag_small_stack", typed).config;
    const std::vector<ParameterSpec> table = parameter_table(config.model, 50);
    std::map<std::string, ParameterSetting> out;
    const std::vector<ParameterSetting> of = parameter_settings(config.optimizer, table);
    for (size_t i = 0; i < table.size(); ++i) out[table[i].name] = of[i];
    return out;
  };
  const ModelConfig full = resolved("dag_small_stack", {{"dag_adapter", "True"}}).config.model;
  std::set<std::string> predictors;
  for (const PartName& part :
       full.architecture->parts_of(full, resolved("dag_predictor_small").config.model))
    predictors.insert(part.ours);
  for (const auto& [name, s] :
       settings({{"predictor_frozen_until", "500"}, {"predictor_lr", "0.1"}})) {
    EXPECT_EQ(s.frozen_until, predictors.count(name) > 0 ? 500 : 0) << name;
    EXPECT_EQ(s.rate, predictors.count(name) > 0 ? 0.1 : 1) << name;
  }
  // What came from the predictor with its trunk is all of that; the last blocks and the fold learn.
  const testing::Settings deep = {{"n_layer", "6"},
                                  {"dag_after", "4"},
                                  {"predictor_trunk", "True"},
                                  {"predictor_frozen_until", "500"},
                                  {"tie_head", "False"}};
  testing::Settings typed = deep;
  typed.push_back({"dag_adapter", "True"});
  const ModelConfig between = resolved("dag_small_stack", typed).config.model;
  std::set<std::string> taken, held;
  for (const PartName& part :
       between.architecture->parts_of(between, resolved("dag_predictor_small").config.model))
    taken.insert(part.ours);
  for (const auto& [name, s] : settings(deep))
    if (s.frozen_until == 500) held.insert(name);
  EXPECT_EQ(held, taken);
  EXPECT_EQ(held.count("attention.3.qkv.weight") + held.count("token_table.0.weight"), 2U);
  // Of layers that answer heads and their norms are the model's own.
  for (const testing::Settings::value_type& asks : testing::Settings{
           {"halt_rule", "max"}, {"layer_supervision", "all"}, {"layer_heads", "True"}}) {
    testing::Settings answering = deep;
    answering.push_back(asks);
    std::set<std::string> same;
    for (const auto& [name, s] : settings(answering))
      if (s.frozen_until == 500) same.insert(name);
    EXPECT_EQ(same, taken) << asks.first;
  }
  testing::Settings tied = deep;
  tied.back().second = "True";
  EXPECT_THAT(testing::refusal_of([&] { settings(tied); }).what(), HasSubstr("tie_head = true"));
  // Without its trunk the norm at the door is nobody's but the model's.
  testing::Settings alone_behind = deep;
  alone_behind[2].second = "False";
  for (const PartName& part : full.architecture->parts_of(
           resolved("dag_small_stack",
                    {{"n_layer", "6"}, {"dag_after", "4"}, {"dag_adapter", "True"}})
               .config.model,
           resolved("dag_predictor_small").config.model))
    EXPECT_EQ(settings(alone_behind).at(part.ours).frozen_until, 500) << part.ours;
  EXPECT_EQ(settings(alone_behind).at("norm_mid.6.weight").frozen_until, 0) << "the door's";
  // A norm that all blocks share is not the DAG's, wherever it is.
  EXPECT_EQ(trained_with({{"freeze_gpt", "True"}, {"norm_ties", "within"}, {"share_norm", "one"}})
                .count("norm_mid.0.weight"),
            0U);
  // The user's groups come first.
  const auto mixed = settings(
      {{"predictor_lr", "0.1"}, {"parameter_groups", "dag.value.*: lr=3; token_table.*: lr=2"}});
  EXPECT_EQ(mixed.at("dag.value.up.weight").rate, 3);
  EXPECT_EQ(mixed.at("token_table.0.weight").rate, 2);
  EXPECT_EQ(mixed.at("dag.op.up.weight").rate, 0.1);
  const auto all = settings({{"predictor_lr", "0.1"}, {"parameter_groups", "*: decay=0"}});
  EXPECT_EQ(all.at("dag.op.up.weight").rate, 1);
}

TEST(DagFreezing, FreezingLeavesTheKeysAsTheyWereGiven) {
  const testing::Resolved given =
      resolved("dag_small_stack",
               {{"freeze_gpt", "True"}, {"freeze", "dag.gate.bias"}, {"unfreeze", "norm_out.*"}});
  EXPECT_EQ(given.config.optimizer.freeze, "dag.gate.bias");
  EXPECT_EQ(given.config.optimizer.unfreeze, "norm_out.*");
  for (const std::string& notice : given.notices)
    EXPECT_EQ(notice.find("freeze"), std::string::npos) << notice;
  // Another switch of the same run: what follows from it is known of what was saved, too.
  RunConfig before = given.config, after = given.config;
  before.optimizer.own_freeze.clear();
  before.optimizer.own_unfreeze.clear();
  EXPECT_TRUE(consequences(before, after, 1).empty());
  after.model.own.flag("freeze_gpt", true) = false;
  const std::vector<std::string> told = consequences(before, after, 1);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_THAT(told[0], HasSubstr("frozen are trained from here on"));
}

// What is frozen has the same bytes after ten steps, with a decay of all weights, and nothing else
// has.
class DagFrozenTraining : public testing::TrainTest {
 protected:
  // Of a small dag_small_stack on lines and examples: names of the tensors that were changed, and
  // of the others.
  std::pair<std::set<std::string>, std::set<std::string>> trained(const testing::Settings& more) {
    testing::Settings typed = {
        {"n_layer", "1"},        {"n_head", "2"},       {"n_embd", "8"},
        {"block_size", "48"},    {"batch_size", "4"},   {"max_iters", "10"},
        {"eval_interval", "10"}, {"eval_iters", "1"},   {"warmup_iters", "1"},
        {"stream_share", "0.5"}, {"decay_rule", "all"}, {"device", "cpu"}};
    typed.insert(typed.end(), more.begin(), more.end());
    const RunConfig config = resolved("dag_small_stack", typed).config;
    corpus_ = open_corpus(kNumbers, config);
    Trainer t = trainer(config);
    const testing::Snapshot before = testing::weights(t.model());
    testing::History history;
    t.run(history.events());
    EXPECT_EQ(history.steps.size(), 10U);
    std::pair<std::set<std::string>, std::set<std::string>> names;
    for (const auto& [name, values] : testing::weights(t.model()))
      (values == before.at(name) ? names.second : names.first).insert(name);
    return names;
  }
};

TEST_F(DagFrozenTraining, LeavesTheirBytesAsTheyWere) {
  const auto [all, none] = trained({});
  EXPECT_TRUE(none.empty()) << *none.begin();

  // The switch keeps all but the DAG.
  const auto [of_dag, kept] = trained({{"freeze_gpt", "True"}});
  EXPECT_EQ(of_dag, trained_with({{"n_layer", "1"}, {"freeze_gpt", "True"}}));
  EXPECT_EQ(of_dag.count("dag.op.up.weight") + kept.count("mlp.0.up.weight"), 2U);

  // And this all that makes programs, until its step.
  const auto [others, predictor] = trained({{"predictor_frozen_until", "10"}});
  const ModelConfig full = resolved("dag_small_stack", {{"n_layer", "1"}}).config.model;
  std::set<std::string> parts;
  for (const PartName& part :
       full.architecture->parts_of(full, resolved("dag_predictor_small").config.model))
    parts.insert(part.ours);
  EXPECT_EQ(predictor, parts);
  EXPECT_EQ(others.size() + parts.size(), all.size());
  EXPECT_EQ(trained({{"predictor_frozen_until", "9"}}).second, none);
}

}  // namespace
}  // namespace fathom
