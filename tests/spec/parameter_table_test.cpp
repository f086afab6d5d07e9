// Sizes and costs against the published numbers and against counts made another way.
#include "fathom/model/spec/parameter_table.h"

#include <gtest/gtest.h>

#include <set>

#include "fathom/model/spec/depth_program.h"
#include "fathom/model/spec/readout_uses.h"
#include "fathom/train/recipe/decay.h"
#include "recipe/config_testing.h"
#include "spec/shrink_loops.h"

namespace fathom {
namespace {

using testing::has_loops;
using testing::resolved;

constexpr int64_t kGpt2Vocab = 50257;

int64_t count(const RunConfig& config, int64_t vocab) {
  return parameter_count(parameter_table(config.model, vocab));
}

int64_t decayed(const RunConfig& config, int64_t vocab) {
  int64_t n = 0;
  for (const ParameterSpec& spec : parameter_table(config.model, vocab))
    if (decays(spec, config.optimizer.decay_rule)) n += spec.count();
  return n;
}

// LMPlay's five models.
TEST(ParameterTable, PublishedCounts) {
  EXPECT_EQ(count(preset_config("gpt2ish"), kGpt2Vocab), 120'560'209);
  EXPECT_EQ(count(preset_config("gpt2ish_med"), kGpt2Vocab), 406'336'593);
  EXPECT_EQ(count(preset_config("gpt2ish_large"), kGpt2Vocab), 838'409'297);
  EXPECT_EQ(count(preset_config("test_runner"), kGpt2Vocab), 6'848'721);
  EXPECT_EQ(count(preset_config("s_gpt2ish"), kGpt2Vocab), 47'277'073);
}

TEST(ParameterTable, DecayedParametersOfLmplay) {
  EXPECT_EQ(decayed(preset_config("gpt2ish"), kGpt2Vocab), 66'908'928);
}

// nanoGPT prints "number of parameters: 10.65M", which leaves the position table out.
TEST(ParameterTable, NanoGptsBabyGpt) {
  const int64_t C = 384, L = 6, V = 65, T = 256;
  const int64_t block = 4 * C * C + 8 * C * C + 2 * C;  // attention, MLP, two norms; no biases
  const int64_t expected = V * C + T * C + L * block + C;
  EXPECT_EQ(expected, 10'745'088);
  const RunConfig config = preset_config("gpt2ish_shakespeare");
  EXPECT_EQ(count(config, V), expected);
  EXPECT_EQ(decayed(config, V), expected - (2 * L + 1) * C) << "all but the norms";
}

TEST(ParameterTable, Gpt2) {
  const auto gpt2 = [](const char* L, const char* H, const char* C) {
    const auto r = resolved(
        "gpt2ish_shakespeare",
        {{"n_layer", L}, {"n_head", H}, {"n_embd", C}, {"block_size", "1024"}, {"bias", "true"}});
    return count(r.config, kGpt2Vocab);
  };
  EXPECT_EQ(gpt2("12", "12", "768"), 124'439'808);
  EXPECT_EQ(gpt2("24", "16", "1024"), 354'823'168);
  EXPECT_EQ(gpt2("36", "20", "1280"), 774'030'080);
  EXPECT_EQ(gpt2("48", "25", "1600"), 1'557'611'200);
}

TEST(ParameterTable, NamesAreUniqueAndShapesPositive) {
  for (const Preset& preset : registry().presets()) {
    std::set<std::string> names;
    for (const ParameterSpec& spec : parameter_table(preset_config(preset.name).model, 100)) {
      EXPECT_TRUE(names.insert(spec.name).second) << preset.name << " " << spec.name;
      EXPECT_GT(spec.count(), 0) << spec.name;
      EXPECT_NE(std::string(part_name(spec.part)), "") << spec.name;
    }
  }
}

const ParameterSpec& named(const std::vector<ParameterSpec>& table, const std::string& name) {
  for (const ParameterSpec& spec : table)
    if (spec.name == name) return spec;
  throw std::out_of_range(name);
}

TEST(ParameterTable, InitialisationOfNanoGpt) {
  const auto table = parameter_table(preset_config("gpt2ish_shakespeare").model, 65);
  for (const ParameterSpec& spec : table) {
    if (spec.part == Part::kNorm) {
      EXPECT_EQ(spec.init.kind, InitRule::kOnes) << spec.name;
      continue;
    }
    EXPECT_EQ(spec.init.kind, InitRule::kNormal) << spec.name;
    const bool residual = spec.name.find(".out.") != std::string::npos ||
                          spec.name.find(".down.") != std::string::npos;
    EXPECT_NEAR(spec.init.scale, residual ? 0.02 / std::sqrt(12.0) : 0.02, 1e-12) << spec.name;
  }
}

TEST(ParameterTable, InitialisationOfLmplay) {
  const auto table = parameter_table(preset_config("gpt2ish").model, kGpt2Vocab);
  EXPECT_EQ(named(table, "token_table.0.weight").init.kind, InitRule::kNormal);
  EXPECT_EQ(named(table, "token_table.0.weight").init.scale, 1);
  EXPECT_EQ(named(table, "position_table.weight").init.kind, InitRule::kZeros);
  EXPECT_EQ(named(table, "norm_mid.0.bias").init.kind, InitRule::kZeros);
  for (const char* name : {"attention.0.qkv.weight", "attention.0.qkv.bias", "head.0.bias"}) {
    EXPECT_EQ(named(table, name).init.kind, InitRule::kUniform) << name;
    EXPECT_NEAR(named(table, name).init.scale, 1 / std::sqrt(768.0), 1e-12) << name;
  }
  EXPECT_NEAR(named(table, "mlp.5.down.bias").init.scale, 1 / std::sqrt(4 * 768.0), 1e-12);
}

// How often a token meets a matrix: a part's as often as it is called in a step that has it, an
// adapter's as often as its loops' doors are gone through, a head's (or a table's that is one) as
// often as it answers.
double times_met(const ParameterSpec& spec, const DepthPlan& plan, const DepthProgram& program) {
  const std::set<Part> counted = {Part::kAttention, Part::kMlp, Part::kAdapter, Part::kHead,
                                  Part::kTokenTable};
  if (counted.count(spec.part) == 0) return 1;
  const int number = std::stoi(spec.name.substr(spec.name.find('.') + 1));  // "mlp.3.up.weight"
  double met = 0;
  const auto add_calls = [&](const auto& parts, const std::vector<int>& calls) {
    for (size_t k = 0; k < parts.size(); ++k) met += parts[k].instance == number ? calls.at(k) : 0;
  };
  for (const StepSpec& step : program.steps) {
    const LayerSpec& layer = step.layer;
    const WiringParts called = check_wiring(plan.wirings.at(size_t(layer.wiring)));
    if (spec.part == Part::kAttention) add_calls(layer.attention, called.calls_of_attention);
    if (spec.part == Part::kMlp) add_calls(layer.mlp, called.calls_of_mlp);
    for (const Injection& i : layer.door)
      met += spec.part == Part::kAdapter && i.kind == Injection::kLoopInput && i.instance == number;
    if (spec.part == Part::kHead || spec.part == Part::kTokenTable)
      met += layer.readout && layer.readout->head == number;
  }
  return met;
}

// Every query meets T keys and every weight T values: C channels of both by head, H numbers where
// nothing is compared, and all C channels for each head where heads stand side by side.
double scores_met(const StepSpec& step, const DepthPlan& plan, int64_t H, int64_t T) {
  const WiringParts called = check_wiring(plan.wirings.at(size_t(step.layer.wiring)));
  double met = 0;
  for (size_t k = 0; k < step.layer.attention.size(); ++k) {
    const AttentionSpec& a = step.layer.attention[k];
    const int64_t C = step.layer.width, values = a.value == AttentionSpec::kConcat ? H * C : C;
    met += double(called.calls_of_attention.at(k) * T * ((a.compares() ? C : H) + values));
  }
  return met;
}

// Every matrix of the table that is multiplied with takes 2 FLOPs an element.
TEST(Flops, EqualACountOverTheTable) {
  for (const Preset& preset : registry().presets()) {
    RunConfig config = preset_config(preset.name);
    if (has_loops(config.model))  // as often in every pass, and all with a gradient
      set_keys(config, {{"loop_sampling_strategy", "fixed"}, {"loops_backprop_depth", "0"}});
    const BackboneConfig& b = config.model.backbone;
    const int64_t V = 1000, T = 100;
    double expected = 0;
    const DepthPlan plan = make_depth_plan(config.model);
    const DepthProgram program = unroll(plan, make_policy(config.model));
    // An experiment may have put layers of its own behind them.
    const auto steps = static_cast<int64_t>(program.steps.size());
    EXPECT_TRUE(has_loops(config.model) || steps == b.n_layer ||
                (config.model.architecture != nullptr && steps > b.n_layer));
    // Heads that a rule asks, and no loss teaches; of one that compares layers all count.
    std::vector<double> taught = config.model.supervision.layer_weights(b.n_layer);
    if (readout_uses(make_supervision(config.model.supervision, b.n_layer), program).empty())
      taught.assign(taught.size(), 1);
    double untaught = 0;
    for (const StepSpec& step : program.steps) {
      expected += 2 * scores_met(step, plan, b.n_head, T);
      if (step.readout >= 0 && taught.at(static_cast<size_t>(step.layer.readout->layer)) == 0)
        untaught += 2.0 * static_cast<double>(step.layer.width * V);
    }
    for (const ParameterSpec& spec : parameter_table(config.model, V)) {
      const bool multiplied = spec.shape.size() == 2 && spec.part != Part::kPositionTable &&
                              (spec.part != Part::kTokenTable || b.tie_head);
      if (multiplied)
        expected += times_met(spec, plan, program) * 2.0 *
                    static_cast<double>(spec.shape[0] * spec.shape[1]);
    }
    const Flops flops = flops_per_token(config.model, V, T);
    EXPECT_DOUBLE_EQ(flops.forward(), expected) << preset.name;
    EXPECT_DOUBLE_EQ(flops.training(), 3 * expected - 2 * untaught) << preset.name;
  }
}

TEST(Memory, GrowsAsItShould) {
  const ModelConfig model = preset_config("gpt2ish_shakespeare").model;
  const MemoryEstimate m = training_memory(model, 65, 8, 128);
  EXPECT_EQ(m.parameters, 4.0 * 10'745'088);
  EXPECT_EQ(m.gradients, m.parameters);
  EXPECT_EQ(m.optimizer, 2 * m.parameters);
  EXPECT_EQ(m.total(), m.parameters + m.gradients + m.optimizer + m.activations);
  EXPECT_DOUBLE_EQ(training_memory(model, 65, 16, 128).activations, 2 * m.activations);
  EXPECT_GT(training_memory(model, 65, 8, 256).activations, 2 * m.activations) << "T x T scores";
  // At least what no training can do without: a block's input, and q, k and v.
  EXPECT_GT(m.activations, 4.0 * 8 * 128 * 384 * 6 * 4);
}

}  // namespace
}  // namespace fathom
