// Parameters: what exists, how it is drawn, and the loss that it starts from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "errors.h"
#include "fathom/train/recipe/registry.h"
#include "model/testing.h"
#include "spec/looped_model.h"

namespace fathom::testing {
namespace {

struct Moments {
  double mean = 0, square = 0, fourth = 0, largest = 0;
};

Moments moments(const Tensor& tensor) {
  Moments m;
  const std::vector<double> values = numbers(tensor);
  for (const double v : values) {
    m.mean += v;
    m.square += v * v;
    m.fourth += v * v * v * v;
    m.largest = std::max(m.largest, std::abs(v));
  }
  const auto n = static_cast<double>(values.size());
  m.mean /= n, m.square /= n, m.fourth /= n;
  return m;
}

// Bounds of 4.5 standard errors: about one false alarm in 10,000 seeds over all parameters.
constexpr double kErrors = 4.5;

void expect_drawn_normal(const Tensor& t, double std) {
  const Moments m = moments(t);
  const auto n = static_cast<double>(t.numel());
  EXPECT_NEAR(m.mean, 0, kErrors * std / std::sqrt(n));
  EXPECT_NEAR(std::sqrt(m.square), std, kErrors * std / std::sqrt(2 * n));
  EXPECT_NEAR(m.fourth, 3 * std::pow(std, 4), kErrors * std::sqrt(96 / n) * std::pow(std, 4));
}

void expect_uniform(const Tensor& t, double bound) {
  const Moments m = moments(t);
  const auto n = static_cast<double>(t.numel());
  EXPECT_LE(m.largest, bound * (1 + 1e-6));
  EXPECT_GT(m.largest, bound * (1 - 10 / n));
  EXPECT_NEAR(m.mean, 0, kErrors * bound / std::sqrt(3 * n));
  EXPECT_NEAR(m.square, bound * bound / 3, kErrors * bound * bound * std::sqrt(4.0 / 45 / n));
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

ModelConfig sized(ModelConfig config, int64_t n_layer, int64_t n_embd, int64_t block_size) {
  config.backbone.n_layer = n_layer;
  config.backbone.n_embd = n_embd;
  config.backbone.n_head = 4;
  config.backbone.block_size = block_size;
  return config;
}

TEST(Init, Gpt2) {
  ModelConfig config = sized({}, 3, 96, 64);
  config.backbone.bias = config.backbone.head_bias = true;
  config.backbone.tie_head = false;
  const auto model = model_of(config, 65);
  for (const Parameter& p : model->parameters().all()) {
    SCOPED_TRACE(p.spec.name);
    if (ends_with(p.spec.name, ".bias")) {
      EXPECT_EQ(moments(p.tensor).largest, 0);
    } else if (p.spec.name.rfind("norm", 0) == 0) {
      EXPECT_EQ(numbers(p.tensor), std::vector<double>(96, 1.0));
    } else {
      const bool residual =
          ends_with(p.spec.name, ".out.weight") || ends_with(p.spec.name, ".down.weight");
      expect_drawn_normal(p.tensor, residual ? 0.02 / std::sqrt(2 * 3.0) : 0.02);
    }
  }
}

TEST(Init, Torch) {
  const auto model = model_of(sized(untied_config(), 3, 96, 64), 65);
  for (const Parameter& p : model->parameters().all()) {
    SCOPED_TRACE(p.spec.name);
    const std::string& name = p.spec.name;
    if (name == "token_table.0.weight") {
      expect_drawn_normal(p.tensor, 1);
    } else if (name == "position_table.weight") {
      EXPECT_EQ(moments(p.tensor).largest, 0);
    } else if (name.rfind("norm", 0) == 0) {
      EXPECT_EQ(numbers(p.tensor), std::vector<double>(96, ends_with(name, ".bias") ? 0.0 : 1.0));
    } else {
      const double fan_in = name.find(".down.") != std::string::npos ? 4 * 96 : 96;
      expect_uniform(p.tensor, 1 / std::sqrt(fan_in));
    }
  }
}

// Mean loss of random targets on random tokens.
double initial_loss(const ModelConfig& config, int64_t vocab_size) {
  const int64_t T = config.backbone.block_size;
  const auto model = model_of(config, vocab_size);
  return mean_loss(
      *model, batch_of(random_tokens({8, T}, vocab_size, 1), random_tokens({8, T}, vocab_size, 2)));
}

TEST(InitialLoss, Gpt2) {
  const int64_t V = 65;
  for (const auto& [width, published] : std::map<int64_t, double>{{128, 4.200}, {384, 4.251}}) {
    ModelConfig config = sized({}, 4, width, 64);
    config.backbone.tie_head = false;
    // Unit-variance features times N(0, 0.02^2): ln V + 0.0004 C / 2.
    EXPECT_NEAR(std::log(double(V)) + 0.0002 * double(width), published, 1e-3);
    const double untied = initial_loss(config, V);
    EXPECT_NEAR(untied, published, 0.05);

    // Tied, a token's own score could stand out, but the blocks' outputs outweigh its row.
    config.backbone.tie_head = true;
    const double tied = initial_loss(config, V);
    EXPECT_NEAR(tied, published, 0.05);
    RecordProperty("untied_" + std::to_string(width), std::to_string(untied));
    RecordProperty("tied_" + std::to_string(width), std::to_string(tied));
  }
}

TEST(InitialLoss, Torch) {
  const auto formula = [](double V, double d) { return std::log(V) + (1.0 / 3 + 1 / (3 * d)) / 2; };
  EXPECT_NEAR(formula(50257, 768), 10.99, 0.005);
  const ModelConfig config = sized(preset_config("test_runner").model, 6, 64, 64);
  const double loss = initial_loss(config, 5000);
  EXPECT_NEAR(loss, formula(5000, 64), 0.1);
  RecordProperty("torch_64", std::to_string(loss));
}

using Shapes = std::map<std::string, std::vector<int64_t>>;

Shapes shapes_of(const NextTokenModel& model) {
  Shapes shapes;
  for (const Parameter& p : model.parameters().all()) {
    EXPECT_EQ(p.tensor.sizes().vec(), p.spec.shape) << p.spec.name;
    EXPECT_TRUE(p.tensor.is_leaf() && p.tensor.requires_grad()) << p.spec.name;
    EXPECT_TRUE(shapes.emplace(p.spec.name, p.tensor.sizes().vec()).second) << p.spec.name;
  }
  return shapes;
}

TEST(Parameters, HaveTheNamesAndShapesOfTheTable) {
  ModelConfig config = tied_config();
  config.backbone.n_layer = 1;
  const Shapes tied = {{"token_table.0.weight", {11, 16}},   {"position_table.weight", {8, 16}},
                       {"norm_in.0.weight", {16}},           {"attention.0.qkv.weight", {48, 16}},
                       {"attention.0.out.weight", {16, 16}}, {"norm_mid.0.weight", {16}},
                       {"mlp.0.up.weight", {64, 16}},        {"mlp.0.down.weight", {16, 64}},
                       {"norm_out.0.weight", {16}}};
  EXPECT_EQ(shapes_of(*model_of(config, 11)), tied);

  config = untied_config();
  config.backbone.n_layer = 1;
  Shapes untied = tied;
  untied.insert({{"norm_in.0.bias", {16}},
                 {"attention.0.qkv.bias", {48}},
                 {"attention.0.out.bias", {16}},
                 {"norm_mid.0.bias", {16}},
                 {"mlp.0.up.bias", {64}},
                 {"mlp.0.down.bias", {16}},
                 {"norm_out.0.bias", {16}},
                 {"head.0.weight", {11, 16}},
                 {"head.0.bias", {11}}});
  EXPECT_EQ(shapes_of(*model_of(config, 11)), untied);
}

TEST(Parameters, OfEveryPresetEqualItsTable) {
  for (const Preset& preset : registry().presets()) {
    SCOPED_TRACE(preset.name);
    const ModelConfig config = shrunk(preset_config(preset.name).model);
    Shapes table;
    for (const ParameterSpec& spec : parameter_table(config, 11)) table[spec.name] = spec.shape;
    EXPECT_EQ(shapes_of(*model_of(config, 11)), table);
  }
}

TEST(Parameters, AreFoundByName) {
  const auto model = model_of(tied_config(), 11);
  EXPECT_TRUE(model->parameters().find("mlp.1.up.weight").defined());
  EXPECT_FALSE(model->parameters().find("head.0.weight").defined());
  EXPECT_THAT(caught([&] { model->parameters().at("head.0.weight"); }).what(),
              ::testing::HasSubstr("head.0.weight"));
}

TEST(Parameters, EachHasAStreamOfItsOwn) {
  // More layers, a bias and another head change nothing that they do not concern.
  for (const Init init : {Init::kGpt2, Init::kTorch}) {
    ModelConfig small = tied_config(), large = untied_config();
    small.backbone.init = large.backbone.init = init;
    large.backbone.n_layer = 5;
    const auto one = model_of(small, 11), two = model_of(large, 11);
    for (const Parameter& p : one->parameters().all()) {
      SCOPED_TRACE(p.spec.name);
      const Tensor other = two->parameters().at(p.spec.name);
      const bool scaled = init == Init::kGpt2 && (ends_with(p.spec.name, ".out.weight") ||
                                                  ends_with(p.spec.name, ".down.weight"));
      if (scaled)
        EXPECT_LE(max_difference(p.tensor, other * std::sqrt(5.0 / 2)), 1e-8);
      else
        EXPECT_TRUE(same_bits(p.tensor, other));
    }
  }
}

TEST(Parameters, DifferBetweenNamesAndSeeds) {
  const auto model = model_of(untied_config(), 11), again = model_of(untied_config(), 11),
             other = model_of(untied_config(), 11, at::kFloat, 2);
  const std::vector<Parameter>& all = model->parameters().all();
  for (size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(all[i].spec.name);
    EXPECT_TRUE(same_bits(all[i].tensor, again->parameters().all()[i].tensor));
    const auto kind = all[i].spec.init.kind;
    if (kind != InitRule::kNormal && kind != InitRule::kUniform) continue;
    EXPECT_FALSE(same_bits(all[i].tensor, other->parameters().all()[i].tensor));
    for (size_t j = 0; j < i; ++j) {
      if (all[j].spec.shape != all[i].spec.shape) continue;
      EXPECT_FALSE(same_bits(all[i].tensor, all[j].tensor)) << all[j].spec.name;
    }
  }
}

TEST(DepthInit, ScoresOfTakaseAreScaled) {
  const auto model = [](const char* init) {
    const ModelConfig config = model_with(
        {{"n_layer", "3"}, {"loop_groups", "[[1]]"}, {"max_loops", "5"}, {"init", init}});
    return model_of(config, kLoopVocab, at::kDouble);
  };
  const auto scaled = model("takase"), plain = model("gpt2");
  const at::NoGradGuard no_grad;
  for (const Parameter& p : plain->parameters().all())
    Tensor(p.tensor).copy_(scaled->parameters().at(p.spec.name));
  const Tensor tokens_BT = random_tokens({2, 8}, kLoopVocab, 1);
  EXPECT_LT(max_difference(scaled->logits(tokens_BT),
                           plain->logits(tokens_BT) * std::sqrt(1 / (2 * 5.0))),
            1e-13)
      << "three layers, of which one runs three times";
}

TEST(DepthInit, WeightsHaveTheirStandardDeviations) {
  const ModelConfig config = model_with({{"n_layer", "2"},
                                         {"n_embd", "128"},
                                         {"loop_groups", "[[1]]"},
                                         {"max_loops", "9"},
                                         {"init", "takase_tied"}});
  const auto deviation = [](const ParameterSet& all, const char* name) {
    return std::sqrt(all.at(name).square().mean().item<double>());
  };
  const double whole = std::sqrt(2 / (5 * 128.0));
  const ParameterSet takase(parameter_table(config, 512), 3, at::kCPU);
  for (const char* name : {"mlp.0.up.weight", "mlp.1.down.weight", "attention.0.qkv.weight"})
    EXPECT_NEAR(deviation(takase, name), whole, 0.01 * whole) << name;
  const double head = std::sqrt(1 / (5 * 128.0 * 6));
  EXPECT_NEAR(deviation(takase, "token_table.0.weight"), head, 0.01 * head);
  ModelConfig truncated = config;
  truncated.backbone.init = Init::kHuginn;
  truncated.looping.adapter_init = AdapterInit::kHalf;
  const ParameterSet huginn(parameter_table(truncated, 512), 3, at::kCPU);
  const Tensor up = huginn.at("mlp.0.up.weight");
  EXPECT_LE(up.abs().max().item<double>(), 3 * whole * (1 + 1e-6));
  EXPECT_GT(up.abs().max().item<double>(), 2.9 * whole);
  // The variance of a normal number within three standard deviations is 0.9733.
  EXPECT_NEAR(deviation(huginn, "mlp.0.up.weight"), 0.98658 * whole, 0.01 * whole);
  const Tensor adapter = huginn.at("adapter.0.weight");
  EXPECT_EQ(adapter.sum().item<double>(), 128);
  EXPECT_EQ(adapter[5][5].item<double>(), 0.5);
  EXPECT_EQ(adapter[5][128 + 5].item<double>(), 0.5);
}

}  // namespace
}  // namespace fathom::testing
