// The DAG as data: its plan, parameters, presets and what they refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "experiments/dag/dag_config.h"
#include "fathom/config/config_file.h"
#include "fathom/model/spec/depth_program.h"
#include "fathom/train/recipe/consequences.h"
#include "fathom/train/recipe/decay.h"
#include "fathom/train/recipe/freeze.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using testing::dag_config;
using testing::DagKeys;
using ::testing::HasSubstr;
using testing::refusal_of;
using testing::resolved;
using testing::with_dag_keys;

constexpr int64_t kGpt2Rows = 50304;

std::map<std::string, int64_t> counts_by_part(const ModelConfig& config, int64_t vocab_size) {
  std::map<std::string, int64_t> sums;
  for (const ParameterSpec& spec : parameter_table(config, vocab_size))
    sums[part_name(spec.part)] += spec.count();
  return sums;
}

std::string last_wiring(const ModelConfig& config) {
  return to_text(make_depth_plan(config).wirings.back());
}

// Block by block by hand: 12 H^2 and two norms each, of which there are three; the norm behind the
// first; H to H to 2 S; the cross attention and its norm; H to H to D N.
TEST(DagPresets, ThePredictorHasTheNotebooksParameters) {
  const ModelConfig config = preset_config("dag_predictor").model;
  const int64_t H = 32, blocks = 3 * (12 * H * H + 2 * H), values = H * H + H + (H + 1) * 10;
  const int64_t operations = H * H + H + (H + 1) * 20;
  EXPECT_EQ(blocks, 3 * 12352);
  EXPECT_EQ(values, 1386);
  EXPECT_EQ(operations, 1716);
  auto counts = counts_by_part(config, kGpt2Rows);
  EXPECT_EQ(counts["token table"], 1609728);
  EXPECT_EQ(counts["own"], values + operations);
  int64_t total = 0;
  for (const auto& [part, count] : counts) total += count;
  EXPECT_EQ(total - counts["position table"], 1654046);
  EXPECT_EQ(total - counts["position table"] - counts["token table"],
            blocks + H + values + 4 * H * H + H + operations);
}

TEST(DagPresets, EveryOneIsResolved) {
  for (const Preset& preset : registry().presets()) {
    if (preset.experiment != "dag") continue;
    SCOPED_TRACE(preset.name);
    EXPECT_NO_THROW(resolved(preset.name));
    const bool predictor = preset.name.rfind("dag_predictor", 0) == 0;
    const DepthPlan plan = make_depth_plan(preset_config(preset.name).model);
    EXPECT_EQ(predicts_next_token(plan), !predictor);
    EXPECT_TRUE(plan.causal);
  }
}

TEST(DagPresets, OfPredictorsHaveTheNotebooksRecipes) {
  const RunConfig cpu = resolved("dag_predictor").config;
  EXPECT_EQ(cpu.sequences_per_step(), 4);
  EXPECT_EQ(cpu.optimizer.learning_rate, 3e-4);
  const RunConfig cloud = resolved("dag_predictor_cloud").config;
  EXPECT_EQ(cloud.sequences_per_step(), 16384);
  EXPECT_EQ(cloud.model.backbone.n_embd, 768);
  EXPECT_EQ(cloud.model.own.integer("dag_depth"), 6);
  const RunConfig readme = resolved("dag_predictor_readme").config;
  EXPECT_EQ(readme.optimizer.learning_rate, 1e-3);
  EXPECT_EQ(parameter_count(parameter_table(readme.model, kGpt2Rows)),
            parameter_count(parameter_table(cpu.model, kGpt2Rows)));
  for (const ParameterSpec& spec : parameter_table(cpu.model, 50))
    EXPECT_TRUE(decays(spec, cpu.optimizer.decay_rule)) << spec.name;
}

TEST(DagPresets, TheConfigFileSaysWhatThePresetDoes) {
  const auto typed = [](const char* preset, const char* stem) {
    RunConfig config = preset_config(preset);
    FieldList list;
    add_fields(list, config);
    const ShippedConfig* file = registry().config("dag", stem);
    EXPECT_NE(file, nullptr);
    read_config_text(file->text, file->stem + file->ending, list);
    resolve(list, config);
    FieldList after;
    add_fields(after, config);
    return to_toml(after);
  };
  RunConfig preset = resolved("dag_predictor").config;
  preset.model.own.integer("max_dag_depth", 0) = 4;
  FieldList list;
  add_fields(list, preset);
  EXPECT_EQ(typed("dag_predictor", "train_predictor_config"), to_toml(list));
  EXPECT_THAT(typed("dag", "train_default"), HasSubstr("dag_depth = 0"));
}

TEST(DagPlan, IsOneMoreLayerBehindTheLastNorm) {
  const DepthPlan plain = make_depth_plan(dag_config({{"dag_depth", "0"}}));
  const DepthPlan plan = make_depth_plan(dag_config());
  ASSERT_EQ(plain.nodes.size(), 2U);
  ASSERT_EQ(plan.nodes.size(), 3U);
  const auto& before = std::get<LayerSpec>(plain.nodes.back().node);
  const auto& layer = std::get<LayerSpec>(plan.nodes.back().node);
  EXPECT_EQ(layer.norm_in, before.readout->norm);
  EXPECT_EQ(layer.readout->norm.kind, NormSpec::kNone);
  EXPECT_EQ(layer.readout->layer, before.readout->layer);
  EXPECT_EQ(layer.readout->head, before.readout->head);
  EXPECT_EQ(unroll(plan).readouts, 1);
}

TEST(DagPlan, HasTheExecutorsWiring) {
  EXPECT_EQ(last_wiring(dag_config()),
            "p = n + A(N(n)); p = p + M(N[1](p)); d = F.dag(n, N[2](p)); q = d + A[1](N[3](d)); "
            "q = q + M[1](N[4](q)); r = F.dag_fold(n, q, N[5](q))");
  EXPECT_EQ(last_wiring(dag_config({{"dag_executor", "stack"}, {"dag_mix", "gate"}})),
            "v = n + A(N(n)); v = v + M(N[1](v)); s = n + A[1](N[2](n)); s = s + M[1](N[3](s)); "
            "c = N[4](A[2](s, v, v)); d = F.dag(v, c); q = d + A[3](N[5](d)); "
            "q = q + M[2](N[6](q)); r = F.dag_fold(n, q)");
  EXPECT_EQ(
      last_wiring(dag_config(
          {{"dag_pre_block", "False"}, {"dag_post_block", "False"}, {"dag_adapter", "True"}})),
      "x = N[2](n); d = F.dag(x, N(x)); r = F.dag_fold(n, d, N[1](d))");
  EXPECT_EQ(last_wiring(dag_config({}, /*predictor=*/true)),
            "v = n + A(N(n)); v = v + M(N[1](v)); s = n + A[1](N[2](n)); s = s + M[1](N[3](s)); "
            "c = N[4](A[2](s, v, v)); r = F.dag(v, c)");
}

// Of a loop and of layers that answer too: they have the plain model's norm before the head.
TEST(DagPlan, StandsBehindLoopsAndLayersThatAnswer) {
  const DepthPlan exits = make_depth_plan(
      dag_config({{"layer_heads", "True"}, {"layer_tables", "True"}, {"halt_rule", "max"}}));
  const DepthProgram program = unroll(exits);
  ASSERT_EQ(program.readouts, 2);
  EXPECT_EQ(program.steps[0].readout, 0);
  EXPECT_EQ(program.steps[1].readout, -1);
  EXPECT_EQ(program.steps[2].readout, 1);
  const ModelConfig loops =
      dag_config({{"loop_groups", "[[0], [1]]"}, {"loop_halt_rule", "max"}, {"max_loops", "3"}});
  const DepthProgram looped = unroll(make_depth_plan(loops), make_policy(loops));
  EXPECT_EQ(looped.readouts, 1);
  for (const StepSpec& step : looped.steps)
    for (const LoopEnd& end : step.ends) EXPECT_EQ(end.readout.norm.kind, NormSpec::kLayer);
  // Trained without a rule, evaluated with one: the last block is not asked, the DAG is.
  const DepthPlan plain = make_depth_plan(dag_config());
  const DepthProgram asked = unroll(plain, make_policy(dag_config({{"halt_rule", "max"}})));
  ASSERT_EQ(asked.readouts, 2);
  EXPECT_EQ(asked.steps[0].layer.readout->norm.kind, NormSpec::kLayer);
  EXPECT_EQ(asked.steps[1].readout, -1);
}

TEST(DagSettings, HaveTheExecutorsOperationsOrThoseNamed) {
  const auto operations = [](const DagKeys& keys) {
    return dag::settings_of(dag_config(keys).own).operations;
  };
  using O = Operation;
  EXPECT_EQ(operations({}), (std::vector<O>{O::kAdd, O::kIdentity, O::kMultiply, O::kSubtract}));
  EXPECT_EQ(operations({{"dag_executor", "stack"}}).size(), 5U);
  EXPECT_EQ(operations({{"dag_ops", "multiply, add"}}), (std::vector<O>{O::kMultiply, O::kAdd}));
}

TEST(DagSettings, AreRefusedWhereTheyHaveNoMeaning) {
  const auto plan = [](const DagKeys& keys) {
    return refusal_of([&] { make_depth_plan(dag_config(keys)); });
  };
  EXPECT_THAT(plan({{"max_dag_depth", "4"}}).what(),
              HasSubstr("max_dag_depth = 4 and dag_depth = 3"));
  EXPECT_THAT(plan({{"dag_ops", "add, modulo"}}).what(), HasSubstr("modulo"));
  EXPECT_THROW(dag_config({{"dag_depth", "-1"}}), Error);
  EXPECT_THROW(dag_config({{"dag_depth", "0"}}, /*predictor=*/true), Error);
  EXPECT_THROW(dag_config({{"softmax_temperature", "0"}}), Error);
}

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

TEST(DagSettings, FreezeAllButTheDag) {
  std::set<std::string> of_dag = trained_with({});
  for (const std::string& name : trained_with({{"dag_depth", "0"}})) of_dag.erase(name);
  EXPECT_EQ(trained_with({{"freeze_gpt", "True"}}), of_dag);
}

// The keys of the user are theirs: the switch adds to them and takes nothing out of them.
TEST(DagSettings, FreezingByHandHasTheLastWord) {
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

TEST(DagSettings, FreezingLeavesTheKeysAsTheyWereGiven) {
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

// No weight decay pulls at the fold.
TEST(DagParameters, OfTheFoldDoNotDecay) {
  for (const char* mix : {"gate", "ln_scale"})
    for (const ParameterSpec& spec : parameter_table(dag_config({{"dag_mix", mix}}), 11)) {
      const bool folds = spec.init.kind == InitRule::kConstant;
      EXPECT_EQ(folds && decays(spec, DecayRule::kAll), false) << spec.name;
      EXPECT_TRUE(!folds || spec.init.scale == (std::string(mix) == "gate" ? -2 : 0.1));
    }
}

}  // namespace
}  // namespace fathom
