#include "fathom/model/spec/backbone_config.h"

#include <fmt/format.h>

#include <cmath>

#include "fathom/base/error.h"
#include "fathom/model/spec/block_style.h"
#include "fathom/model/spec/depth_plan.h"

namespace fathom {

namespace {

void add_block_fields(FieldList& list, BackboneConfig& c) {
  list.add<BlockStyle>("block_style", c.block_style,
                       "gpt2: r + A(N r), r + M(N r), layer norms; sandwich: r + N A(N r), r + N "
                       "M(r), and huginn: N(r + A(N r)), N(r + M(N r)), RMS norms and SiLU",
                       {{"gpt2", BlockStyle::kGpt2},
                        {"sandwich", BlockStyle::kSandwich},
                        {"huginn", BlockStyle::kHuginn}})
      .shapes_weights();
  list.add("rms_norm_eps", c.rms_norm_eps, "added to the mean square in the blocks' RMS norms")
      .above(0)
      .below(1)
      .shapes_weights()
      .needs("block_style = sandwich or huginn",
             [&c] { return c.block_style != BlockStyle::kGpt2; });
  list.add<Activation>("activation", c.activation, "of the MLP: exact GELU or its tanh form",
                       {{"gelu", Activation::kGelu}, {"gelu_tanh", Activation::kGeluTanh}})
      .shapes_weights()
      .needs("block_style = gpt2", [&c] { return c.block_style == BlockStyle::kGpt2; });
  list.add<Init>("init", c.init,
                 "gpt2: N(0, 0.02) with scaled residual projections (nanoGPT); torch: the "
                 "framework's defaults (LMPlay); takase: N(0, 2/(5C)), scores scaled by the depth; "
                 "takase_tied: the same, scaled in the table; huginn: truncated, residual "
                 "projections scaled by the depth",
                 {{"gpt2", Init::kGpt2},
                  {"torch", Init::kTorch},
                  {"takase", Init::kTakase},
                  {"takase_tied", Init::kTakaseTied},
                  {"huginn", Init::kHuginn}})
      .shapes_weights();
  list.add<ResidualScaling>(
          "residual_scaling", c.residual_scaling,
          "tied_depth: the stream times sqrt(2L) before each addition, residual projections begin "
          "1/sqrt(8L) times as large, L as effective_n_layer",
          {{"none", ResidualScaling::kNone}, {"tied_depth", ResidualScaling::kTiedDepth}})
      .shapes_weights();
  list.add("effective_n_layer", c.effective_n_layer,
           "layers that a token passes, for init and residual_scaling; None: n_layer, and what "
           "loop groups add on average")
      .above(0)
      .at_most(1e9)
      .shapes_weights()
      .needs("init = takase, takase_tied or huginn, or residual_scaling",
             [&c] { return c.asks_depth(); });
  list.add("scale_embeddings", c.scale_embeddings,
           "tokens and positions together times sqrt(n_embd)")
      .shapes_weights();
}

}  // namespace

void add_fields(FieldList& list, BackboneConfig& c) {
  list.section("backbone");
  list.add("n_layer", c.n_layer, "transformer blocks")
      .at_least(1)
      .at_most(10000)
      .alias("num_blocks")
      .shapes_weights()
      .usual();
  list.add("n_head", c.n_head, "attention heads, a divisor of n_embd")
      .at_least(1)
      .at_most(65536)
      .alias("num_heads")
      .shapes_weights()
      .usual();
  list.add("n_embd", c.n_embd, "width of the residual stream")
      .at_least(1)
      .at_most(1 << 20)
      .alias("embed_dim")
      .shapes_weights()
      .usual();
  list.add("block_size", c.block_size, "longest context in tokens")
      .at_least(1)
      .at_most(1 << 24)
      .alias("max_len")
      .alias("context_len")
      .alias("sequence_length")
      .shapes_weights()
      .usual();
  list.add("vocab_size", c.vocab_size,
           "rows of the token table; None takes the corpus's, more than that pads")
      .at_least(2)
      .at_most(65536)
      .shapes_weights();
  list.add("bias", c.bias, "biases in the blocks' linear layers and norms").shapes_weights();
  list.add("head_bias", c.head_bias, "a bias in the head").shapes_weights();
  list.add("tie_head", c.tie_head, "the head uses the token table as its weight").shapes_weights();
  list.add("dropout", c.dropout, "dropout of embeddings, attention weights and residual branches")
      .at_least(0)
      .below(1)
      .needs("attn_dropout, residual_dropout or embed_dropout = None",
             [&c] { return !c.attn_dropout || !c.residual_dropout || !c.embed_dropout; })
      .usual();
  list.add("attn_dropout", c.attn_dropout, "dropout of attention weights, None takes dropout")
      .at_least(0)
      .below(1);
  list.add("residual_dropout", c.residual_dropout,
           "dropout of attention and MLP outputs, None takes dropout")
      .at_least(0)
      .below(1)
      .alias("ff_dropout");
  list.add("embed_dropout", c.embed_dropout, "dropout of embeddings, None takes dropout")
      .at_least(0)
      .below(1);
  list.add("norm_eps", c.norm_eps, "added to the variance in every norm but the blocks' RMS norms")
      .above(0)
      .below(1)
      .shapes_weights();
  add_block_fields(list, c);
}

void validate(const BackboneConfig& c) {
  if (c.n_embd % c.n_head != 0)
    misuse(fmt::format("n_embd = {} is not divisible by n_head = {}", c.n_embd, c.n_head),
           fmt::format("n_head = {} would fit", fitting_heads(c.n_embd, c.n_head)));
  if (c.tie_head && c.head_bias)
    misuse("head_bias = true has no meaning with tie_head = true: the token table has no bias",
           "set tie_head=false or head_bias=false");
  if (c.init == Init::kTakaseTied && !c.tie_head)
    misuse("init = takase_tied with tie_head = false: no table is a head",
           "--init=takase begins a head of its own the same way");
  if (c.residual_scaling == ResidualScaling::kTiedDepth && c.block_style != BlockStyle::kHuginn)
    misuse(
        "residual_scaling = tied_depth needs block_style = huginn: a stream without a norm after "
        "each addition would grow without end",
        "add --block_style=huginn, or --residual_scaling=none");
}

bool BackboneConfig::asks_depth() const {
  return init == Init::kTakase || init == Init::kTakaseTied || init == Init::kHuginn ||
         residual_scaling != ResidualScaling::kNone;
}

StreamScales stream_scales(double effective_layers) {
  return {std::sqrt(2 * effective_layers), 1 / std::sqrt(8 * effective_layers)};
}

double logit_scale(const BackboneConfig& backbone, double effective_layers) {
  const double L = effective_layers > 0 ? effective_layers : static_cast<double>(backbone.n_layer);
  return std::sqrt(1 / (2 * L));
}

void apply(const BackboneConfig& section, DepthPlan& plan, Policy& /*policy*/) {
  plan.stem.width = section.n_embd;
  plan.wirings = {block_wiring(section, plan.effective_layers)};
  plan.tied_heads = section.tie_head;
  plan.nodes.clear();
  for (int64_t i = 0; i < section.n_layer; ++i) {
    const int index = static_cast<int>(i);
    LayerSpec layer;
    layer.number = index;
    layer.width = layer.width_in = section.n_embd;
    give_parts(section, index, layer);
    if (i + 1 == section.n_layer) add_readout(layer);
    plan.nodes.push_back({layer});
  }
  if (!section.scale_embeddings) return;
  Injection scale{Injection::kScale};
  scale.amount = std::sqrt(static_cast<double>(section.n_embd));
  plan.stem.door.push_back(scale);
}

void scale_logits(const BackboneConfig& section, DepthPlan& plan) {
  if (section.init != Init::kTakase || !plan.tied_heads) return;
  each_layer(plan, [&](LayerSpec& layer) {
    if (layer.readout) layer.readout->norm.gain = logit_scale(section, plan.effective_layers);
  });
}

int64_t fitting_heads(int64_t n_embd, int64_t n_head) {
  for (int64_t heads = std::min(n_head, n_embd); heads > 1; --heads)
    if (n_embd % heads == 0) return heads;
  return 1;
}

}  // namespace fathom
