// Models that are made of typed wirings, against the same written out as plain loops over tensors.
//
// B sequences, T positions, C channels, H heads, V vocabulary.
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "fathom/model/walk/walk_cache.h"
#include "fathom/ops/ops.h"
#include "model/walking.h"
#include "spec/looped_model.h"

namespace fathom::testing {
namespace {

constexpr int64_t kWiredBatch = 2, kWiredT = 6, kWiredC = 12, kWiredH = 3, kWiredV = 9;

ModelConfig wired_config(const Settings& settings, const char* n_layer = "3") {
  Settings all = {{"n_layer", n_layer}, {"n_head", "3"}, {"n_embd", "12"}, {"block_size", "8"}};
  all.insert(all.end(), settings.begin(), settings.end());
  ModelConfig config = model_with(all);
  validate(config);
  return config;
}

Batch wired_batch() {
  return batch_of(random_tokens({kWiredBatch, kWiredT}, kWiredV, 3),
                  random_tokens({kWiredBatch, kWiredT}, kWiredV, 4));
}

// A model in double precision with parameters of its own, and the textbook's parts over them.
class WiredModel {
 public:
  explicit WiredModel(const Settings& settings, const char* n_layer = "3", double disturbed = 0.3)
      : config(wired_config(settings, n_layer)),
        model(model_of(config, kWiredV, at::kDouble)),
        batch(wired_batch()) {
    if (disturbed > 0) disturb(*model, disturbed);
  }

  Tensor at(const std::string& name) const { return model->parameters().at(name); }
  Tensor mapped(const Tensor& x, const std::string& name) const {
    const Tensor y = x.matmul(at(name + ".weight").t());
    const Tensor bias = model->parameters().find(name + ".bias");
    return bias.defined() ? y + bias : y;
  }
  // The layer norm of a name; without one, neither weight nor bias.
  Tensor normed(const Tensor& x, const std::string& name = "") const {
    const Tensor centred = x - x.mean(-1, true);
    const Tensor n = centred / (centred.square().mean(-1, true) + 1e-5).sqrt();
    if (name.empty()) return n;
    const Tensor bias = model->parameters().find(name + ".bias");
    return bias.defined() ? n * at(name + ".weight") + bias : n * at(name + ".weight");
  }
  // softmax(q k / sqrt(D)) of one head over (B, T, C), with zeros above the diagonal.
  static Tensor probabilities(const Tensor& q, const Tensor& k) {
    const Tensor scores = q.matmul(k.transpose(-1, -2)) / std::sqrt(double(q.size(-1)));
    const Tensor e = scores.exp().tril();
    return e / e.sum(-1, true);
  }
  Tensor attention(const Tensor& n, const std::string& name) const {
    const std::vector<Tensor> qkv = mapped(n, name + ".qkv").split(kWiredC, -1);
    return heads(qkv[0], qkv[1], qkv[2], name);
  }
  Tensor heads(const Tensor& q, const Tensor& k, const Tensor& v, const std::string& name) const {
    std::vector<Tensor> heads;
    const int64_t D = kWiredC / kWiredH;
    for (int64_t h = 0; h < kWiredH; ++h) {
      const auto head = [&](const Tensor& x) { return x.narrow(-1, h * D, D); };
      heads.push_back(probabilities(head(q), head(k)).matmul(head(v)));
    }
    return mapped(at::cat(heads, -1), name + ".out");
  }
  // The sum of P_h n over heads, and nothing else.
  Tensor without_values(const Tensor& n, const std::string& name) const {
    const std::vector<Tensor> qk = mapped(n, name + ".qk").split(kWiredC, -1);
    Tensor sum = n * 0;
    const int64_t D = kWiredC / kWiredH;
    for (int64_t h = 0; h < kWiredH; ++h)
      sum = sum + probabilities(qk[0].narrow(-1, h * D, D), qk[1].narrow(-1, h * D, D)).matmul(n);
    return sum;
  }
  Tensor mlp(const Tensor& x, const std::string& name) const {
    const Tensor h = mapped(x, name + ".up");
    return mapped(h * 0.5 * (1 + (h / std::sqrt(2.0)).erf()), name + ".down");
  }
  Tensor tokens() const {
    return at("token_table.0.weight").index_select(0, batch.tokens_BT.flatten()).view(shape());
  }
  Tensor positions() const { return at("position_table.weight").narrow(0, 0, kWiredT); }
  Tensor scores(const Tensor& n) const { return n.matmul(at("token_table.0.weight").t()); }
  Tensor logits() const { return model->logits(batch.tokens_BT); }
  // (B, T, C): what left the last step.
  Tensor end() const { return walk(*model, batch).end.r_RC.view(shape()); }
  Tensor start() const { return walk(*model, batch).door(0).r_RC.view(shape()); }

  ModelConfig config;
  std::unique_ptr<NextTokenModel> model;
  Batch batch;

 private:
  static std::vector<int64_t> shape() { return {kWiredBatch, kWiredT, kWiredC}; }
};

// ---- The carry layout: each block takes (n, r) and ends with the next n

TEST(CarryLayout, WithTiedNormsIsTheTextbooksLoop) {
  const at::NoGradGuard no_grad;
  const WiredModel w({{"share", "one"}, {"norm_ties", "last"}, {"bias", "true"}});
  // As its notebook has it: n is carried beside r, and the head reads the last one.
  Tensor r = w.tokens() + w.positions(), n = w.normed(r, "norm_in.0");
  for (int layer = 0; layer < 3; ++layer) {
    const Tensor u = r + w.attention(n, "attention.0");
    r = u + w.mlp(w.normed(u, "norm_mid.0"), "mlp.0");
    n = w.normed(r, "norm_in.0");
  }
  EXPECT_LT(max_difference(w.logits(), w.scores(n)), 1e-11);
  // As textbooks have it: ln_1 of all layers and ln_f are one.
  Tensor x = w.tokens() + w.positions();
  for (int layer = 0; layer < 3; ++layer) {
    x = x + w.attention(w.normed(x, "norm_in.0"), "attention.0");
    x = x + w.mlp(w.normed(x, "norm_mid.0"), "mlp.0");
  }
  EXPECT_LT(max_difference(w.logits(), w.scores(w.normed(x, "norm_in.0"))), 1e-11);
  EXPECT_FALSE(w.model->parameters().find("norm_out.0.weight").defined());
}

// The table's rows as they are there, and nothing at the stem.
TEST(CarryLayout, PositionsMayComeByTheWiringAlone) {
  const Settings settings = {{"wiring", "r = r + A(n + pos) + M(n)*pos"}, {"positions", "none"}};
  const WiredModel w(settings);
  Tensor r = w.tokens();
  for (const char* layer : {".0", ".1", ".2"}) {
    const std::string at = layer;
    const Tensor n = w.normed(r, "norm_in" + at);
    r = r + w.attention(n + w.positions(), "attention" + at) + w.mlp(n, "mlp" + at) * w.positions();
  }
  EXPECT_LT(max_difference(w.logits(), w.scores(w.normed(r, "norm_out.0"))), 1e-11);
  const auto learns = [&](const Settings& more) {
    Settings all = settings;
    all.insert(all.end(), more.begin(), more.end());
    const WiredModel model(all);
    backward(model.model->forward(model.batch, {}).losses.at(0).sum);
    const Tensor gradient = model.at("position_table.weight").grad();
    return gradient.defined() && gradient.abs().max().item<double>() > 0;
  };
  EXPECT_TRUE(learns({}));
  EXPECT_FALSE(learns({{"reach_embeddings", "false"}}));
  EXPECT_FALSE(learns({{"freeze_parts", "embedding"}}));
}

TEST(CarryLayout, WithUntiedNormsIsGpt2) {
  const at::NoGradGuard no_grad;
  const WiredModel typed({{"wiring", "u = r + A(n); r = u + M(N(u))"}, {"bias", "true"}});
  Tensor x = typed.tokens() + typed.positions();
  for (const char* layer : {".0", ".1", ".2"}) {
    x = x + typed.attention(typed.normed(x, std::string("norm_in") + layer),
                            std::string("attention") + layer);
    x = x + typed.mlp(typed.normed(x, std::string("norm_mid") + layer), std::string("mlp") + layer);
  }
  EXPECT_LT(max_difference(typed.logits(), typed.scores(typed.normed(x, "norm_out.0"))), 1e-11);
  const WiredModel gpt2(Settings{{"bias", "true"}});
  EXPECT_LT(max_difference(typed.logits(), gpt2.logits()), 1e-12);
}

// The bits of a model without a typed wiring are those of the same plan made by its style.
TEST(CarryLayout, AtItsDefaultsKeepsEveryBit) {
  const at::NoGradGuard no_grad;
  const WiredModel style(Settings{}), typed(Settings{{"wiring", "r = r + A(n); r = r + M(N(r))"}});
  EXPECT_TRUE(same_bits(style.logits(), typed.logits()));
}

TEST(TypedWirings, TwiceAnAttentionIsItsOutputsWeightsDoubled) {
  const at::NoGradGuard no_grad;
  const Settings::value_type bias = {"bias", "true"};
  const WiredModel twice({{"wiring", "r = r + 2*A(n) + M(n)"}, bias}, "3", 0);
  const WiredModel once({{"wiring", "r = r + A(n) + M(n)"}, bias}, "3", 0);
  EXPECT_GT(max_difference(twice.logits(), once.logits()), 1e-9);
  for (const char* layer : {"0", "1", "2"})
    for (const char* of : {"weight", "bias"})
      once.at(fmt::format("attention.{}.out.{}", layer, of)).mul_(2);
  EXPECT_LT(max_difference(twice.logits(), once.logits()), 1e-12);
}

// Queries, keys and values of three streams are of the rows of one map.
TEST(TypedWirings, AttentionOfThreeSourcesIsTheTextbooksCrossAttention) {
  const at::NoGradGuard no_grad;
  const Settings::value_type bias = {"bias", "true"};
  const WiredModel w({{"wiring", "q = M(n); v = N(r + q); r = r + A(q, n, v)"}, bias});
  Tensor r = w.tokens() + w.positions();
  for (const char* layer : {".0", ".1", ".2"}) {
    const auto part = [&](const char* name) { return std::string(name) + layer; };
    const Tensor n = w.normed(r, part("norm_in")), q = w.mlp(n, part("mlp"));
    const Tensor v = w.normed(r + q, part("norm_mid"));
    const auto map = [&](const Tensor& x, int64_t which) {
      return w.mapped(x, part("attention") + ".qkv").narrow(-1, which * kWiredC, kWiredC);
    };
    r = r + w.heads(map(q, 0), map(n, 1), map(v, 2), part("attention"));
  }
  EXPECT_LT(max_difference(w.logits(), w.scores(w.normed(r, "norm_out.0"))), 1e-11);
  // With keys of the queries it is the attention of two, bit by bit.
  const WiredModel two({{"wiring", "r = r + A(n, M(n))"}, bias});
  const WiredModel three({{"wiring", "r = r + A(n, n, M(n))"}, bias});
  EXPECT_TRUE(same_bits(two.logits(), three.logits()));
}

// ---- Attention without values

const Settings kNoValues = {{"attn_value", "sum"}, {"attn_projection", "false"}};

Settings without_values_and(const Settings& more) {
  Settings settings = kNoValues;
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

TEST(NoValues, AreTheSumOverHeadsOfTheirWeightsTimesTheInput) {
  const at::NoGradGuard no_grad;
  const WiredModel w(without_values_and(
      {{"wiring", "r = r + A(n)*M(n)"}, {"share", "one"}, {"norm_affine", "false"}}));
  Tensor r = w.tokens() + w.positions();
  for (int layer = 0; layer < 3; ++layer) {
    const Tensor n = w.normed(r);
    r = r + w.without_values(n, "attention.0") * w.mlp(n, "mlp.0");
  }
  EXPECT_LT(max_difference(w.end(), r), 1e-10);
  EXPECT_LT(max_difference(w.logits(), w.scores(w.normed(r))), 1e-10);
}

TEST(NoValues, OfTheFirstTokenAreItselfForEachHead) {
  const at::NoGradGuard no_grad;
  const Settings raw = {{"wiring", "r = A(n)"}, {"norm_kind", "none"}};
  const WiredModel sum(without_values_and(raw), "1");
  EXPECT_TRUE(same_bits(sum.end().select(1, 0), double(kWiredH) * sum.start().select(1, 0)));
  Settings averaged = without_values_and(raw);
  averaged[0].second = "mean";
  const WiredModel mean(averaged, "1");
  EXPECT_LT(max_difference(mean.end().select(1, 0), mean.start().select(1, 0)), 1e-14);
}

TEST(NoValues, DecodeWithACacheAndLearn) {
  for (const char* wiring : {"r = r + A(n)*M(n)", "y = A(n) + M(y); r = r + y"}) {
    SCOPED_TRACE(wiring);
    const WiredModel w(
        without_values_and({{"wiring", wiring}, {"share", "[0, 1, 0]"}, {"norm_affine", "false"}}));
    const at::NoGradGuard no_grad;
    std::vector<int64_t> text = {1, 4, 2, 6, 3};
    const Tensor whole = w.model->logits(tensor_of({1, 4, 2, 6, 3}, {1, 5}).to(at::kLong))[0];
    WalkCache cache(1, 8);
    Asked ask;
    ask.exit = Exit::kLast;
    ask.cache = &cache;
    for (int64_t i = 0; i < 5; ++i) {
      const Rows rows(std::vector<std::vector<int64_t>>{{text[size_t(i)]}}, {i}, at::kCPU);
      EXPECT_LT(max_difference(w.model->next_token(rows, ask).scores_NV[0], whole[i]), 1e-11);
    }
  }
  // A step down the gradient.
  const WiredModel w(without_values_and({{"wiring", "r = r + A(n)*M(n)"}, {"share", "one"}}), "3",
                     0.1);
  const double before = mean_loss(*w.model, w.batch);
  backward(w.model->forward(w.batch, {}).losses.at(0).sum);
  const at::NoGradGuard no_grad;
  for (Tensor t : tensors_of(*w.model)) {
    ASSERT_TRUE(t.grad().defined()) << "every module that exists is called";
    t.sub_(t.grad(), 1e-4);
  }
  EXPECT_LT(mean_loss(*w.model, w.batch), before);
}

// ---- Norms

TEST(FreeNorms, ReadTheSameOfAStreamOfAnySize) {
  const at::NoGradGuard no_grad;
  const auto reads_alike = [](const char* kind, double size, const char* eps) {
    const WiredModel w(
        {{"norm_affine", "false"}, {"norm_kind", kind}, {"norm_eps", eps}, {"rms_norm_eps", eps}},
        "1");
    const DepthWalk& walked = depth(*w.model).walk();
    NormId last;
    each_layer(walked.plan(), [&](const LayerSpec& layer) { last = layer.readout->norm; });
    const Tensor r = random_normal({4, kWiredC}, 7);
    const BlockSettings settings;
    const NormParams& p = walked.params().norm(last);
    return max_difference(norm(r, p, settings), norm(size * r, p, settings));
  };
  for (const char* kind : {"layer", "rms"}) {
    SCOPED_TRACE(kind);
    const char* const tiny = "1e-14";
    if (std::string(kind) == "rms") {
      EXPECT_LT(reads_alike(kind, 1e3, tiny), 1e-7);
      EXPECT_LT(reads_alike(kind, 1e-3, tiny), 1e-7);
    }
    EXPECT_LT(reads_alike(kind, 1e3, "1e-5"), 1e-4);
    EXPECT_GT(reads_alike(kind, 1e-3, "1e-5"), 0.1) << "eps counts there";
  }
}

// ---- Positions

TEST(PositionKeys, MeetTheStreamAsTheySay) {
  const at::NoGradGuard no_grad;
  const auto doubles = [](const char* positions) {
    return WiredModel({{"wiring", "r = 2*r"}, {"positions", positions}}, "3");
  };
  const WiredModel add = doubles("add"), mul = doubles("mul"), none = doubles("none"),
                   every = doubles("every_layer");
  const Tensor p = add.positions();
  EXPECT_LT(max_difference(add.end(), 8 * (add.tokens() + p)), 1e-13);
  EXPECT_LT(max_difference(mul.end(), 8 * mul.tokens() * mul.positions()), 1e-13);
  EXPECT_LT(max_difference(none.end(), 8 * none.tokens()), 1e-13);
  EXPECT_LT(max_difference(every.end(),
                           2 * (2 * (2 * (every.tokens() + every.positions()) + every.positions()) +
                                every.positions())),
            1e-13);
  const WiredModel fresh({{"positions", "mul"}}, "3", 0);
  EXPECT_LT(max_difference(fresh.start(), fresh.tokens()), 1e-15) << "positions begin as ones";
}

// ---- Sharing

// Of a shared module: the sum of what its layers would have had each.
TEST(SharedModules, GetTheSumOfTheirLayersGradients) {
  const char* const wiring = "r = r + A(n) + M(N(r))";
  const WiredModel shared({{"wiring", wiring}, {"share", "[0, 1, 0]"}, {"bias", "true"}});
  const WiredModel own({{"wiring", wiring}, {"bias", "true"}});
  // "mlp.2.up.weight" has the values of "mlp.0.up.weight".
  const auto source = [](std::string name) {
    const size_t at = name.find(".2.");
    return at == std::string::npos ? name : name.replace(at, 3, ".0.");
  };
  {
    const at::NoGradGuard no_grad;
    for (const Parameter& p : own.model->parameters().all())
      Tensor(p.tensor).copy_(shared.at(source(p.spec.name)));
  }
  for (const WiredModel* w : {&shared, &own})
    backward(w->model->forward(w->batch, {}).losses.at(0).sum);
  std::map<std::string, Tensor> sums;
  for (const Parameter& p : own.model->parameters().all()) {
    Tensor& sum = sums[source(p.spec.name)];
    sum = sum.defined() ? sum + p.tensor.grad() : p.tensor.grad();
  }
  EXPECT_EQ(sums.size(), shared.model->parameters().all().size());
  for (const Parameter& p : shared.model->parameters().all())
    EXPECT_LT(max_difference(p.tensor.grad(), sums.at(p.spec.name)), 1e-10) << p.spec.name;
}

}  // namespace
}  // namespace fathom::testing
