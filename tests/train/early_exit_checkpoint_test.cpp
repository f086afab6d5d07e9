// A checkpoint of a model whose layers answer says by itself what the model is.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fathom/model/depth_model.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

// No setting of the three sections has its default, so that a lost one shows.
ModelConfig unusual_config() {
  ModelConfig config = exit_config(0.6, 3);
  EarlyExitConfig& e = config.early_exit;
  e.layer_widths = {4, 12, 16};
  e.gate_mode = GateMode::kLearned;
  e.layer_contexts = {3, 0, 7};
  config.halting.mask_history = MaskHistory::kPrevious;
  config.halting.mask_self = false;
  e.detach_between_layers = true;
  config.halting.thresholds = {0.3, 0.25, 1.0 / 3};
  config.halting.temperature = 0.7;
  config.supervision.layer_supervision = {"skip_easy", {}};
  config.supervision.reduce = SupervisionReduce::kSum;
  config.supervision.skip_easy_weight = SkipEasyWeight::kToken;
  return config;
}

nlohmann::json exit_values_of(ModelConfig config) {
  FieldList list;
  add_fields(list, config);
  nlohmann::json values;
  for (const Field& field : list.all()) values[field.name()] = field.value();
  return values;
}

class EarlyExitCheckpoint : public TrainTest {};

TEST_F(EarlyExitCheckpoint, KeepsWhatTheModelIs) {
  std::vector<ModelConfig> configs = {unusual_config(), exit_config(0.4), exit_config(1e300)};
  configs[1].halting.rule = HaltRule::kGold;
  configs[2].supervision.layer_supervision = {"", {0.25, 3}};
  for (const ModelConfig& config : configs) {
    std::filesystem::remove_all(temp_ / "run");
    run(tiny_run(config), "run");
    const RunState state = load_state(checkpoint("run", "last"));
    EXPECT_EQ(exit_values_of(state.config.model), exit_values_of(config));
  }
  const nlohmann::json plain = exit_values_of({}), unusual = exit_values_of(unusual_config());
  for (const char* key :
       {"layer_tables", "layer_heads", "layer_widths", "gate_mode", "layer_contexts",
        "mask_history", "mask_self", "detach_between_layers", "halt_rule", "halt_threshold",
        "halt_thresholds", "confidence_temperature", "layer_supervision", "supervision_reduce",
        "skip_easy_weight"})
    EXPECT_NE(plain.at(key), unusual.at(key)) << key << " would not be missed";
}

TEST_F(EarlyExitCheckpoint, ComesBackAsTheSameWalk) {
  Trainer t = trainer(tiny_run(unusual_config()), temp_ / "run");
  t.run({});
  const LoadedModel loaded = load_model(checkpoint("run", "last"), at::kCPU);
  EXPECT_EQ(weights(*loaded.model), weights(t.model()));
  const Batch batch = batch_of(random_tokens({3, 8}, 8, 1), random_tokens({3, 8}, 8, 2));
  const auto walk = [&](const Model& model) {
    const auto& depth = dynamic_cast<const DepthModel&>(model);
    return depth.walk().run(depth.program(), batch, {});
  };
  const Trace before = walk(t.model()), after = walk(*loaded.model);
  ASSERT_EQ(after.steps.size(), 3U);
  double halting = 0;
  for (size_t i = 0; i < 3; ++i) {
    const HaltDecision &a = before.steps[i].decision, &b = after.steps[i].decision;
    EXPECT_TRUE(same_bits(a.score_R, b.score_R)) << i;
    EXPECT_TRUE(same_bits(a.halts_R, b.halts_R)) << i;
    for (const double h : numbers(a.halts_R)) halting += h;
  }
  EXPECT_GT(halting, 0) << "thresholds that nothing meets would not be missed";
  EXPECT_LT(halting, 72);
  const auto next = [&](const Model& model) {
    return model.next_token_model()->next_token(batch.tokens_BT, Exit::kFirstConfident);
  };
  const NextToken one = next(t.model()), two = next(*loaded.model);
  EXPECT_TRUE(same_bits(one.scores_NV, two.scores_NV));
  EXPECT_TRUE(same_bits(one.layer_N, two.layer_N));
}

}  // namespace
}  // namespace fathom::testing
