// Parts as they are computed, against what their specs say, written down once more.
//
// B sequences, T positions, R rows, C channels, H heads, D = C / H.
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include "fathom/base/error.h"
#include "fathom/train/batches.h"
#include "model/walked.h"

namespace fathom::testing {
namespace {

using namespace walked;

// n is the raw stream, and what the attention gives is all that the step carries on.
DepthPlan attention_alone(const AttentionSpec& spec) {
  LayerSpec layer = bare_layer();
  layer.attention = {spec};
  return plan_with({{{"r", wire::attention(wire::name("n"))}}}, layer);
}

// The attention of one sequence x (T, C), one query and one head at a time.
Tensor attended(const Walked& w, const AttentionSpec& s, const Tensor& x_TC) {
  using A = AttentionSpec;
  const int64_t D = C / H;
  const bool linear = s.value == A::kLinear, compares = s.compares();
  const Tensor made =
      s.projection().empty() ? Tensor() : w.mapped(x_TC, "attention.0." + s.projection());
  std::vector<Tensor> rows;
  for (int64_t q = 0; q < T; ++q) {
    std::vector<Tensor> heads;
    for (int64_t h = 0; h < H; ++h) {
      const Tensor v_TE = linear ? made.narrow(1, made.size(1) - C + h * D, D) : x_TC;
      const int64_t seen = q + (s.mask == A::kStrict ? 0 : 1);
      std::vector<double> weights;
      double total = s.mask == A::kSink ? 1 : 0;
      for (int64_t k = 0; k < seen; ++k) {
        double score = 0;
        if (compares)
          score = made[q].narrow(0, h * D, D).dot(made[k].narrow(0, C + h * D, D)).item<double>() /
                  std::sqrt(double(D));
        if (s.scores == A::kFixed) score = -std::pow(2.0, -8.0 * double(h + 1) / H) * double(q - k);
        weights.push_back(s.scores == A::kSigmoid ? 1 / (1 + double(seen) * std::exp(-score))
                                                  : std::exp(score));
        total += weights.back();
      }
      Tensor sum = at::zeros_like(v_TE[0]);
      for (int64_t k = 0; k < seen; ++k)
        sum = sum + weights[size_t(k)] / (s.scores == A::kSigmoid ? 1 : total) * v_TE[k];
      heads.push_back(sum);
    }
    const bool joined = s.value == A::kSum || s.value == A::kMean;
    Tensor row = joined ? at::stack(heads).sum(0) : at::cat(heads);
    rows.push_back(s.value == A::kMean ? row / double(H) : row);
  }
  const Tensor out = at::stack(rows);
  return s.output_projection ? w.mapped(out, "attention.0.out") : out;
}

std::vector<AttentionSpec> all_attentions() {
  using A = AttentionSpec;
  std::vector<AttentionSpec> all;
  for (const auto value : {A::kLinear, A::kConcat, A::kSum, A::kMean})
    for (const auto scores : {A::kSoftmax, A::kSigmoid, A::kUniform, A::kFixed})
      for (const auto mask : {A::kCausal, A::kStrict, A::kSink})
        for (const bool projects : {true, false}) {
          const bool no_sink = scores == A::kSigmoid || scores == A::kFixed;
          if ((mask == A::kSink && no_sink) || (value == A::kConcat && !projects)) continue;
          AttentionSpec s;
          s.value = value, s.scores = scores, s.mask = mask, s.output_projection = projects;
          all.push_back(s);
        }
  return all;
}

std::string named(const AttentionSpec& s) {
  return fmt::format("value {}, scores {}, mask {}, projection {}", int(s.value), int(s.scores),
                     int(s.mask), s.output_projection);
}

TEST(AttentionParts, AreWhatTheySay) {
  for (const AttentionSpec& s : all_attentions()) {
    SCOPED_TRACE(named(s));
    const Walked wide(attention_alone(s)), narrow(attention_alone(s), at::kFloat);
    for (int64_t b = 0; b < B; ++b) {
      const Tensor expected = attended(wide, s, wide.start()[b]);
      EXPECT_LT(max_difference(wide.end()[b], expected), 1e-12);
      EXPECT_LT(max_difference(narrow.end()[b], expected), 2e-4);
    }
  }
}

// The sum over heads of P_h n. The first row sees itself alone, with weight 1.
TEST(AttentionParts, WithoutValuesTheFirstRowIsItself) {
  AttentionSpec s;
  s.output_projection = false;
  for (const auto dtype : {at::kFloat, at::kDouble})
    for (const auto scores : {AttentionSpec::kSoftmax, AttentionSpec::kUniform}) {
      s.scores = scores;
      s.value = AttentionSpec::kSum;
      const Walked sum(attention_alone(s), dtype);
      EXPECT_TRUE(same_bits(sum.end().select(1, 0), double(H) * sum.start().select(1, 0)));
      s.value = AttentionSpec::kMean;
      const Walked mean(attention_alone(s), dtype);
      EXPECT_LT(max_difference(mean.end().select(1, 0), mean.start().select(1, 0)), 1e-6);
    }
}

TEST(AttentionParts, AStrictFirstRowGetsZeros) {
  for (AttentionSpec s : all_attentions()) {
    if (s.mask != AttentionSpec::kStrict) continue;
    s.bias = false;
    const Walked w(attention_alone(s), at::kFloat);
    EXPECT_EQ(w.end().select(1, 0).abs().max().item<double>(), 0) << named(s);
    EXPECT_GT(w.end().select(1, 1).abs().max().item<double>(), 0) << named(s);
  }
}

TEST(AttentionParts, HaveGradients) {
  for (const AttentionSpec& s : all_attentions()) {
    SCOPED_TRACE(named(s));
    const Walked w(attention_alone(s));
    std::vector<Tensor> leaves;
    for (const Parameter& p : w.parameters.all())
      if (p.spec.part != Part::kNorm && p.spec.part != Part::kHead) leaves.push_back(p.tensor);
    const Tensor slope = random_normal({B * T, C}, 9);
    expect_gradients(
        [&] { return (w.walk.run(unroll(w.walk.plan()), w.batch, {}).end.r_RC * slope).sum(); },
        leaves, 1);
  }
}

// Values of another source than queries and keys, in every form.
TEST(AttentionParts, TakeValuesOfAnotherSource) {
  using namespace wire;
  for (const AttentionSpec& s : all_attentions()) {
    SCOPED_TRACE(named(s));
    LayerSpec layer = bare_layer();
    layer.attention = {s};
    const Wiring other = {{{"v", name("n") * number(2)}, {"r", attention(name("n"), name("v"))}}};
    // Twice the input is twice the value; of a linear map, but for its bias.
    AttentionSpec unbiased = s;
    unbiased.bias = false;
    layer.attention = {unbiased};
    const Walked two(plan_with(other, layer)), one(attention_alone(unbiased));
    EXPECT_LT(max_difference(two.end(), 2 * one.end()), 1e-12);
  }
}

// Positions are larger than bfloat16 is exact.
TEST(AttentionParts, PositionsDecideUnderAutomaticCastsToo) {
  AttentionSpec s;
  s.scores = AttentionSpec::kFixed;
  s.value = AttentionSpec::kMean;
  s.output_projection = false;
  const Walked w(attention_alone(s), at::kFloat);
  const Rows rows(std::vector<std::vector<int64_t>>(1, std::vector<int64_t>(T, 1)), {100000},
                  at::kCPU);
  const Tensor x_RC = random_normal({T, C}, 4).to(at::kFloat);
  const auto out = [&] {
    WalkAttention context(rows, {}, H, {});
    return run_attention(s, w.walk.params().attention.at(0), 0, x_RC, x_RC, x_RC, context);
  };
  const at::NoGradGuard no_grad;
  const Tensor expected = out();
  const Autocast autocast(Precision::kBFloat16, at::kCPU);
  EXPECT_LT(max_difference(out(), expected), 1e-5);
}

// ---- MLPs

TEST(MlpParts, AreWhatTheySay) {
  using M = MlpSpec;
  const auto gauss = [](const Tensor& x) { return x * 0.5 * (1 + (x / std::sqrt(2.0)).erf()); };
  const auto tanh_form = [](const Tensor& x) {
    return x * 0.5 * (1 + (std::sqrt(2 / M_PI) * (x + 0.044715 * x.pow(3))).tanh());
  };
  const std::vector<std::pair<M::Act, std::function<Tensor(const Tensor&)>>> acts = {
      {M::kOfBackbone, gauss},
      {M::kGelu, gauss},
      {M::kGeluTanh, tanh_form},
      {M::kRelu, [](const Tensor& x) { return x * x.gt(0); }},
      {M::kReluSquared, [](const Tensor& x) { return x * x * x.gt(0); }},
      {M::kSilu, [](const Tensor& x) { return x / (1 + (-x).exp()); }},
      {M::kSigmoid, [](const Tensor& x) { return 1 / (1 + (-x).exp()); }},
      {M::kTanh, [](const Tensor& x) { return x.tanh(); }},
  };
  for (const auto& [act, f] : acts)
    for (const bool gated : {false, true})
      for (const double hidden : {4.0, 8.0 / 3}) {
        SCOPED_TRACE(fmt::format("activation {}, gated {}, hidden {}", int(act), gated, hidden));
        MlpSpec m;
        m.act = act, m.gated = gated, m.hidden = hidden;
        LayerSpec layer = bare_layer();
        layer.mlp = {m};
        const DepthPlan plan = plan_with({{{"r", wire::mlp(wire::name("n"))}}}, layer);
        for (const auto dtype : {at::kDouble, at::kFloat}) {
          const Walked w(plan, dtype);
          const Tensor up = w.mapped(w.start(), "mlp.0.up");
          const Tensor inner = gated ? f(w.mapped(w.start(), "mlp.0.gate")) * up : f(up);
          EXPECT_LT(max_difference(w.end(), w.mapped(inner, "mlp.0.down")),
                    dtype == at::kDouble ? 1e-12 : 1e-4);
        }
        const Walked w(plan);
        expect_gradients([&] { return w.walk.run(unroll(plan), w.batch, {}).end.r_RC.sum(); },
                         {w.at("mlp.0.up.weight"), w.at("mlp.0.down.weight")}, 5);
      }
}

// ---- Norms

TEST(NormParts, AreWhatTheySay) {
  for (const auto kind : {NormSpec::kLayer, NormSpec::kRms, NormSpec::kNone})
    for (const bool weight : {true, false})
      for (const std::optional<bool> bias : {std::optional<bool>(), {false}, {true}})
        for (const std::optional<double> eps : {std::optional<double>(), {0.1}}) {
          SCOPED_TRACE(fmt::format("kind {}, weight {}", int(kind), weight));
          LayerSpec layer = bare_layer();
          layer.norm_in.kind = kind;
          layer.norm_in.weight = weight;
          layer.norm_in.bias = bias;
          layer.norm_in.eps = eps;
          const DepthPlan plan = plan_with({{{"r", wire::name("n")}}}, layer);
          for (const auto dtype : {at::kDouble, at::kFloat}) {
            const Walked w(plan, dtype);
            const Tensor x = w.start();
            const Tensor centred = kind == NormSpec::kLayer ? x - x.mean(-1, true) : x;
            Tensor y = x;
            if (kind != NormSpec::kNone) {
              y = centred / (centred.square().mean(-1, true) + eps.value_or(1e-5)).sqrt();
              if (weight) y = y * w.at("norm_in.0.weight");
              const bool has_bias = bias.value_or(kind == NormSpec::kLayer && weight);
              EXPECT_EQ(w.parameters.find("norm_in.0.bias").defined(), has_bias);
              if (has_bias) y = y + w.at("norm_in.0.bias");
            }
            EXPECT_LT(max_difference(w.end(), y), dtype == at::kDouble ? 1e-12 : 1e-5);
          }
        }
}

// Two norms of the same stream are two values, whatever they have for weights.
TEST(NormParts, WithoutWeightsAreNotMistakenForEachOther) {
  const auto kinds = {NormSpec::kLayer, NormSpec::kRms, NormSpec::kNone};
  for (const auto of_readout : kinds)
    for (const auto of_next : kinds) {
      LayerSpec layer = bare_layer(), next = bare_layer();
      layer.readout->norm.kind = of_readout;
      layer.readout->norm.weight = false;
      next.norm_in = {NormId::kIn, 1};
      next.norm_in.kind = of_next;
      next.norm_in.weight = false;
      next.readout = ReadoutSpec{0, {NormId::kOut, 1}, 1};
      DepthPlan plan = plan_of({{layer}, {next}}, C);
      plan.wirings = {{{{"r", wire::name("n")}}}};
      const Walked w(plan);
      const Tensor x = w.trace.door(1).r_RC;
      const Tensor centred = of_next == NormSpec::kLayer ? x - x.mean(-1, true) : x;
      const Tensor size = (centred.square().mean(-1, true) + 1e-5).sqrt();
      EXPECT_LT(max_difference(w.trace.end.r_RC, of_next == NormSpec::kNone ? x : centred / size),
                1e-12);
    }
}

TEST(Params, FrozenOnesSendNoGradient) {
  AttentionSpec a;
  a.value = AttentionSpec::kConcat;
  MlpSpec m;
  m.gated = true;
  LayerSpec layer = with_readout(block(0, C), 0);
  layer.attention = {a};
  layer.mlp = {m};
  layer.door = {{Injection::kPositionTable, 2},
                {Injection::kGate, 1},
                {Injection::kTokenTable, 1},
                {Injection::kNorm}};
  const DepthPlan plan = plan_of({{layer}}, C);
  const Walked w(plan);
  size_t seen = 0;
  Params live = w.walk.params(), cold = frozen(live);
  live.each([&](Tensor& t) { seen += t.defined() && t.requires_grad(); });
  EXPECT_EQ(seen, w.parameters.all().size());
  cold.each([](Tensor& t) { EXPECT_FALSE(t.defined() && t.requires_grad()); });
  DepthPlan other = plan;
  std::get<LayerSpec>(other.nodes[0].node).mlp[0].instance = 5;
  EXPECT_THROW(bind(w.parameters, other), Error) << "no such MLP";
  std::get<LayerSpec>(other.nodes[0].node).mlp[0] = {0};
  EXPECT_THROW(bind(w.parameters, other), Error) << "the gate is of no part";
}

// What a formula says over the channels of each token, with numbers, one value a token and
// channels.
TEST(ParsedWiring, ComputesWhatItSays) {
  const Walked w(
      plan_with(parse_wiring("u = n/2; r = u + sum(n)*r - sig(mean(r))*-3"), bare_layer()));
  const Tensor x = w.start();
  const Tensor expected = 0.5 * x + x.sum(-1, true) * x + 3 * x.mean(-1, true).sigmoid();
  EXPECT_LT(max_difference(w.end(), expected), 1e-12);
}

}  // namespace
}  // namespace fathom::testing
