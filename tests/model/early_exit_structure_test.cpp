// Models whose layers answer: what they consist of, what a layer's door does, how far a window
// reaches, and where a cut stops the gradient.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "fathom/base/error.h"
#include "fathom/model/depth_model.h"
#include "fathom/ops/plain.h"
#include "fathom/train/recipe/registry.h"
#include "model/walking.h"

namespace fathom::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kEarlyExitStructureVocab = 11;
constexpr double kNever = 2;  // a threshold that no probability reaches

// Three layers of growing width with gates.
ModelConfig growing_config() {
  ModelConfig config = exit_config(kNever, 3);
  config.early_exit.layer_widths = {4, 12, 16};
  config.early_exit.gate_mode = GateMode::kLearned;
  return config;
}

Batch tokens_only(int64_t B, int64_t T, unsigned seed) {
  return batch_of(random_tokens({B, T}, kEarlyExitStructureVocab, seed), {});
}

void set_parameter(NextTokenModel& model, const std::string& name, double value) {
  const at::NoGradGuard no_grad;
  model.parameters().at(name).fill_(value);
}

// ---- Sizes

void expect_count(const ModelConfig& config, int64_t without_positions, int64_t all) {
  int64_t positions = 0;
  for (const ParameterSpec& spec : parameter_table(config, 65))
    if (spec.part == Part::kPositionTable) positions += spec.count();
  EXPECT_EQ(parameter_count(parameter_table(config, 65)), all);
  EXPECT_EQ(all - positions, without_positions);
}

TEST(EarlyExitParameters, PublishedCounts) {
  expect_count(preset_config("papingo_a100").model, 10'923'264, 11'021'568);
  ModelConfig cpu = preset_config("papingo").model;
  expect_count(cpu, 854'528, 862'720);
  cpu.early_exit.gate_mode = GateMode::kLearned;
  expect_count(cpu, 854'915, 863'107);
  ModelConfig growing = preset_config("papingo_widths").model;
  growing.early_exit.gate_mode = GateMode::kNone;
  expect_count(growing, 1'912'256, 1'920'448);
}

// ---- Initialisation

void expect_normal(const Tensor& tensor, double std) {
  const std::vector<double> values = numbers(tensor);
  const auto n = double(values.size());
  double sum = 0, squares = 0;
  for (const double v : values) sum += v, squares += v * v;
  // Five standard errors.
  EXPECT_NEAR(sum / n, 0, 5 * std / std::sqrt(n));
  EXPECT_NEAR(std::sqrt(squares / n), std, 5 * std / std::sqrt(2 * n));
}

TEST(EarlyExitInit, TablesHeadsAndGatesAreDrawnLikeTheRest) {
  ModelConfig config = growing_config();
  config.backbone.n_embd = 96;
  config.early_exit.layer_widths = {32, 64, 96};
  config.backbone.init = Init::kGpt2;
  const auto model = model_of(config, 65);
  std::set<std::string> drawn;
  for (const Parameter& p : model->parameters().all()) {
    SCOPED_TRACE(p.spec.name);
    const std::string& name = p.spec.name;
    const auto has = [&](const char* text) { return name.find(text) != std::string::npos; };
    if (has(".bias") || has("norm")) {
      const std::vector<double> constant(size_t(p.tensor.numel()), has(".bias") ? 0.0 : 1.0);
      EXPECT_EQ(numbers(p.tensor), constant);
      continue;
    }
    drawn.insert(name);
    expect_normal(p.tensor, has(".out.") || has(".down.") ? 0.02 / std::sqrt(6.0) : 0.02);
  }
  for (const char* name : {"token_table.2.weight", "head.1.weight", "gate.1.weight"})
    EXPECT_EQ(drawn.count(name), 1U) << name;
  EXPECT_EQ(drawn.count("gate.0.weight"), 0U) << "the first layer has no layer below";
}

TEST(EarlyExitInit, EveryLayerStartsFromTheLossOfItsWidth) {
  for (const char* preset : {"papingo", "papingo_a100", "papingo_widths"}) {
    SCOPED_TRACE(preset);
    const ModelConfig config = preset_config(preset).model;
    const auto model = model_of(config, 65);
    const Batch batch = batch_of(random_tokens({4, config.backbone.block_size}, 65, 1),
                                 random_tokens({4, config.backbone.block_size}, 65, 2));
    const at::NoGradGuard no_grad;
    const ModelOutput output = model->forward(batch, {});
    const IntList& widths = config.early_exit.layer_widths;
    for (int64_t i = 0; i < config.backbone.n_layer; ++i) {
      const int64_t width = widths.empty() ? config.backbone.n_embd : widths[size_t(i)];
      // Unit-variance features times N(0, 0.02^2).
      const double expected = std::log(65.0) + 0.0002 * double(width);
      const Metric metric = output.metrics.at("layer_loss/" + std::to_string(i));
      EXPECT_NEAR(metric.sum / metric.count, expected, 0.05) << i;
    }
  }
}

// ---- Readings

TEST(EarlyExitReadings, EveryLayerReadsOutAtItsWidth) {
  for (const IntList& widths : {IntList{16, 16, 16}, IntList{4, 12, 16}}) {
    ModelConfig config = growing_config();
    config.early_exit.layer_widths = widths;
    const auto model = model_of(config, kEarlyExitStructureVocab, at::kDouble);
    Batch batch = batch_of(random_tokens({2, 5}, kEarlyExitStructureVocab, 1),
                           random_tokens({2, 5}, kEarlyExitStructureVocab, 2));
    batch.targets_BT.data_ptr<int64_t>()[3] = -1;
    const KeptTrace trace = walk(*model, batch);
    ASSERT_EQ(trace.readouts().size(), 3U);
    const std::vector<Tensor> logits = layer_logits(*model, trace);
    for (size_t i = 0; i < 3; ++i) {
      const StepRecord& r = trace.steps[i];
      EXPECT_EQ(r.layer, int(i));
      EXPECT_EQ(trace.h(r).sizes(), (at::IntArrayRef{10, widths[i]}));
      EXPECT_EQ(logits[i].sizes(), (at::IntArrayRef{10, kEarlyExitStructureVocab}));
      const std::vector<double> ln_p = numbers(logits[i].log_softmax(-1));
      for (size_t row = 0; row < 10; ++row) {
        const auto first = ln_p.begin() + std::ptrdiff_t(row * size_t(kEarlyExitStructureVocab));
        const auto best = std::max_element(first, first + kEarlyExitStructureVocab);
        const int64_t target = batch.targets_BT.data_ptr<int64_t>()[row];
        EXPECT_NEAR(numbers(r.reading.ln_p_R)[row], target < 0 ? 0 : first[target], 1e-13);
        EXPECT_NEAR(numbers(r.reading.ln_max_R)[row], *best, 1e-13);
        EXPECT_EQ(numbers(r.reading.prediction_R)[row], double(best - first));
        EXPECT_NEAR(numbers(r.decision.score_R)[row], std::exp(*best), 1e-13);
      }
    }
    const Tensor last = model->logits(batch.tokens_BT);
    EXPECT_EQ(last.sizes(), (at::IntArrayRef{2, 5, kEarlyExitStructureVocab}));
    EXPECT_TRUE(same_bits(last, logits[2].view({2, 5, kEarlyExitStructureVocab})));
  }
}

TEST(EarlyExitConfig, RefusesWhatDoesNotFitAndSaysWhy) {
  using Settings = std::vector<std::pair<const char*, const char*>>;
  const std::vector<std::pair<Settings, const char*>> cases = {
      {{{"layer_widths", "[12,4,16]"}}, "narrows from 12 to 4"},
      {{{"layer_widths", "[4,16]"}}, "has 2 entries"},
      {{{"layer_widths", "[4,8,12,16]"}}, "has 4 entries"},
      {{{"layer_widths", "[4,8,18]"}}, "ends with 18"},
      {{{"layer_widths", "[3,8,16]"}}, "3 is not divisible"},
      {{{"layer_widths", "[0,8,16]"}}, "1 <= layer_widths"},
      {{{"layer_widths", "[4,8,16]"}, {"layer_heads", "false"}}, "layer_heads = true"},
      {{{"layer_contexts", "[1,2]"}}, "has 2 entries"},
      {{{"layer_contexts", "[1,2,9]"}}, "block_size = 8"},
      {{{"layer_contexts", "[1,-1,3]"}}, "0 <= layer_contexts"},
      {{{"gate_mode", "open"}}, "learned"},
      {{{"gate_mode", "learned"}, {"layer_tables", "false"}}, "layer_tables = true"},
      {{{"halt_rule", "best"}}, "gold"},
      {{{"halt_threshold", "nan"}}, "nan"},
      {{{"halt_thresholds", "[0.5,0.5]"}}, "has 2 entries"},
      {{{"confidence_temperature", "0"}}, "0 < confidence_temperature"},
      {{{"mask_history", "all"}}, "cumulative"},
      {{{"layer_supervision", "first"}}, "skip_easy"},
      {{{"layer_supervision", "[1,1]"}}, "has 2 weights"},
      {{{"layer_supervision", "[0,0,0]"}}, "trains no layer"},
      {{{"layer_supervision", "[1,-1,1]"}}, "0 <= layer_supervision"},
      {{{"layer_supervision", "skip_easy"}, {"halt_rule", "none"}}, "needs a halt_rule"},
      {{{"supervision_reduce", "max"}}, "sum"},
      {{{"skip_easy_weight", "row"}}, "token"}};
  for (const auto& [settings, why] : cases) {
    const auto& [key, value] = settings.front();
    SCOPED_TRACE(std::string(key) + "=" + value);
    ModelConfig config = exit_config(0.9, 3);
    try {
      FieldList fields;
      add_fields(fields, config);
      for (const auto& [k, v] : settings) fields.set_text(k, v, std::string("--") + k);
      validate(config);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      EXPECT_THAT(error.what(), AllOf(HasSubstr(key), HasSubstr(why)));
    }
  }
  EXPECT_NO_THROW(validate(growing_config()));
}

// ---- Windows

// The positions whose rows of the position table the last layer's answer at `t` depends on.
std::set<int64_t> reached(const IntList& contexts, int64_t t) {
  ModelConfig config = exit_config(kNever, int64_t(contexts.size()));
  config.early_exit.layer_contexts = contexts;
  const auto model = model_of(config, kEarlyExitStructureVocab, at::kDouble);
  disturb(*model, 0.1);
  const KeptTrace trace = walk(*model, tokens_only(1, 8, 3));
  const Tensor row = layer_logits(*model, trace).back().select(0, t);
  backward((row * random_normal({kEarlyExitStructureVocab}, 4)).sum());
  const Tensor gradient = model->parameters().at("position_table.weight").grad();
  std::set<int64_t> positions;
  for (int64_t j = 0; j < 8; ++j)
    if (gradient.select(0, j).abs().max().item<double>() != 0) positions.insert(j);
  return positions;
}

TEST(Window, ReachesExactlyItsPositionsBack) {
  using Set = std::set<int64_t>;
  EXPECT_EQ(reached({0}, 5), (Set{5}));
  EXPECT_EQ(reached({1}, 5), (Set{4, 5}));
  EXPECT_EQ(reached({3}, 5), (Set{2, 3, 4, 5}));
  EXPECT_EQ(reached({3}, 1), (Set{0, 1}));
  EXPECT_EQ(reached({8}, 5), (Set{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(reached({0, 0}, 5), (Set{5}));
  EXPECT_EQ(reached({1, 2}, 6), (Set{3, 4, 5, 6})) << "windows add up over layers";
  EXPECT_EQ(reached({2, 0}, 6), (Set{4, 5, 6})) << "an earlier layer's context remains";
}

TEST(Window, AsWideAsTheTextIsNone) {
  const auto logits = [](const IntList& contexts) {
    ModelConfig config = exit_config(0.3);
    config.early_exit.layer_contexts = contexts;
    const auto model = model_of(config, kEarlyExitStructureVocab);
    return layer_logits(*model, walk(*model, tokens_only(2, 6, 3)));
  };
  const std::vector<Tensor> none = logits({});
  for (const IntList& wide : {IntList{5, 5}, IntList{8, 6}})
    for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(same_bits(logits(wide)[i], none[i])) << i;
  EXPECT_FALSE(same_bits(logits({4, 5})[0], none[0]));
  EXPECT_TRUE(same_bits(logits({5, 4})[0], none[0]));
  EXPECT_FALSE(same_bits(logits({5, 4})[1], none[1]));
}

// ---- Doors

struct Door {
  Tensor before, after;  // the stream on both sides
  Tensor row;            // of the layer's table, undefined if it has none
};

// Of the middle layer, 4 wide before and 12 wide after, with its gate's bias set.
Door door_of(const ModelConfig& config, double gate_bias) {
  const auto model = model_of(config, kEarlyExitStructureVocab, at::kDouble);
  if (config.early_exit.gate_mode == GateMode::kLearned)
    set_parameter(*model, "gate.1.bias", gate_bias);
  const Batch batch = tokens_only(2, 6, 5);
  const at::NoGradGuard no_grad;
  const KeptTrace trace = walk(*model, batch);
  const StepSpec step = depth(*model).program().steps[1];
  const Carry before = trace.door(1);
  const Carry after = pass_door(step, depth(*model).walk(), *trace.all, before, {0, 0, 0});
  const Tensor table = model->parameters().find("token_table.1.weight");
  const Tensor row = table.defined() ? table.index_select(0, batch.tokens_BT.view({12})) : table;
  return {before.r_RC, after.r_RC, row};
}

Tensor widened(const Door& door) {
  return at::cat({door.before, at::zeros_like(door.after.narrow(1, 4, 8))}, 1);
}

TEST(Door, AppendsZerosAndAddsTheTable) {
  ModelConfig config = growing_config();
  config.early_exit.gate_mode = GateMode::kNone;
  const Door door = door_of(config, 0);
  EXPECT_EQ(door.before.size(1), 4);
  EXPECT_TRUE(same_bits(door.after, widened(door) + door.row));
  config.early_exit.layer_tables = false;
  const Door without = door_of(config, 0);
  EXPECT_TRUE(same_bits(without.after, widened(without)));
}

TEST(Door, AGateMixesByWhatTheNarrowStreamSays) {
  const auto model = model_of(growing_config(), kEarlyExitStructureVocab, at::kDouble);
  const Tensor weight = model->parameters().at("gate.1.weight");
  ASSERT_EQ(weight.sizes(), (at::IntArrayRef{1, 4}));
  const Door door = door_of(growing_config(), 0.7);
  const Tensor gate = 1 / (1 + (-(door.before * weight).sum(1, /*keepdim=*/true) - 0.7).exp());
  EXPECT_LE(max_difference(door.after, gate * door.row + (1 - gate) * widened(door)), 1e-15);
  // Wide open only the table passes, shut only the stream.
  EXPECT_TRUE(same_bits(door_of(growing_config(), 50).after, door.row));
  const Door shut = door_of(growing_config(), -50);
  EXPECT_LE(max_difference(shut.after, widened(shut)), 1e-20);
}

TEST(Door, AnOpenGateForgetsTheLayersBelow) {
  const auto model = model_of(growing_config(), kEarlyExitStructureVocab, at::kDouble);
  const Batch batch = tokens_only(2, 6, 5);
  const auto last = [&] { return layer_logits(*model, walk(*model, batch))[2]; };
  const auto changes = [&] {
    const Tensor before = last();
    const at::NoGradGuard no_grad;
    model->parameters().at("mlp.0.down.weight").mul_(-1.0);
    return !same_bits(before, last());
  };
  EXPECT_TRUE(changes());
  set_parameter(*model, "gate.1.bias", 50);
  EXPECT_FALSE(changes());
}

// ---- Cuts

// Parameters that layer `judged`'s loss alone gives a gradient other than zero.
std::set<std::string> taught(ModelConfig config, size_t judged) {
  FloatList weights(3, 0.0);
  weights[judged] = 1;
  config.supervision.layer_supervision = {"", weights};
  const auto model = model_of(config, kEarlyExitStructureVocab, at::kDouble);
  disturb(*model, 0.1);
  const Batch batch = batch_of(random_tokens({2, 6}, kEarlyExitStructureVocab, 1),
                               random_tokens({2, 6}, kEarlyExitStructureVocab, 2));
  backward(model->forward(batch, {true}).losses.at(0).sum);
  std::set<std::string> names;
  for (const Parameter& p : model->parameters().all()) {
    const Tensor& g = p.tensor.grad();
    if (g.defined() && g.abs().max().item<double>() != 0) names.insert(p.spec.name);
  }
  return names;
}

// Layer i's own parameters: those that its loss teaches when nothing else is.
std::set<std::string> own(const ModelConfig& config, size_t i) {
  std::set<std::string> names;
  for (const ParameterSpec& spec : parameter_table(config, kEarlyExitStructureVocab)) {
    const bool numbered = spec.name.find("." + std::to_string(i) + ".") != std::string::npos;
    if (numbered || (i == 0 && spec.part == Part::kPositionTable)) names.insert(spec.name);
  }
  return names;
}

TEST(Detach, EachLossTeachesItsOwnLayerAlone) {
  ModelConfig config = growing_config();
  config.early_exit.detach_between_layers = true;
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(taught(config, i), own(config, i)) << "layer " << i;
    const std::string gate = "gate." + std::to_string(i) + ".weight";
    EXPECT_EQ(taught(config, i).count(gate), i > 0 ? 1U : 0U);
  }
}

TEST(Detach, WithoutItALossTeachesAllLayersBelow) {
  const ModelConfig config = growing_config();
  std::set<std::string> below;
  for (size_t i = 0; i < 3; ++i) {
    std::set<std::string> expected = own(config, i);
    expected.insert(below.begin(), below.end());
    EXPECT_EQ(taught(config, i), expected) << "layer " << i;
    for (const std::string& name : own(config, i))
      if (name.rfind("head.", 0) != 0 && name.rfind("norm_out.", 0) != 0) below.insert(name);
  }
}

TEST(Detach, LeavesTheForwardPassAsItIs) {
  ModelConfig config = growing_config();
  config.halting.threshold = 0.3;
  const auto plain = model_of(config, kEarlyExitStructureVocab);
  config.early_exit.detach_between_layers = true;
  const auto cut = model_of(config, kEarlyExitStructureVocab);
  const Batch batch = tokens_only(2, 6, 1);
  const std::vector<Tensor> one = layer_logits(*plain, walk(*plain, batch));
  const std::vector<Tensor> two = layer_logits(*cut, walk(*cut, batch));
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(same_bits(one[i], two[i])) << i;
}

}  // namespace
}  // namespace fathom::testing
