#include "fathom/model/spec/backbone_config.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/model/spec/depth_plan.h"

namespace fathom {

void add_fields(FieldList& list, BackboneConfig& c) {
  list.section("backbone");
  list.add("n_layer", c.n_layer, "transformer blocks")
      .at_least(1)
      .at_most(10000)
      .alias("num_blocks")
      .shapes_weights();
  list.add("n_head", c.n_head, "attention heads, a divisor of n_embd")
      .at_least(1)
      .at_most(65536)
      .alias("num_heads")
      .shapes_weights();
  list.add("n_embd", c.n_embd, "width of the residual stream")
      .at_least(1)
      .at_most(1 << 20)
      .alias("embed_dim")
      .shapes_weights();
  list.add("block_size", c.block_size, "longest context in tokens")
      .at_least(1)
      .at_most(1 << 24)
      .alias("max_len")
      .alias("context_len")
      .shapes_weights();
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
             [&c] { return !c.attn_dropout || !c.residual_dropout || !c.embed_dropout; });
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
  list.add("norm_eps", c.norm_eps, "added to the variance in every norm")
      .above(0)
      .below(1)
      .shapes_weights();
  list.add<Activation>("activation", c.activation, "of the MLP: exact GELU or its tanh form",
                       {{"gelu", Activation::kGelu}, {"gelu_tanh", Activation::kGeluTanh}})
      .shapes_weights();
  list.add<Init>("init", c.init,
                 "gpt2: N(0, 0.02) with scaled residual projections (nanoGPT); "
                 "torch: the framework's defaults (LMPlay)",
                 {{"gpt2", Init::kGpt2}, {"torch", Init::kTorch}})
      .shapes_weights();
}

void validate(const BackboneConfig& c) {
  if (c.n_embd % c.n_head != 0)
    misuse(fmt::format("n_embd = {} is not divisible by n_head = {}", c.n_embd, c.n_head),
           fmt::format("n_head = {} would fit", fitting_heads(c.n_embd, c.n_head)));
  if (c.tie_head && c.head_bias)
    misuse("head_bias = true has no meaning with tie_head = true: the token table has no bias",
           "set tie_head=false or head_bias=false");
}

void apply(const BackboneConfig& section, DepthPlan& plan, Policy& /*policy*/) {
  plan.stem.width = section.n_embd;
  plan.wirings = {pre_norm_wiring()};
  plan.tied_heads = section.tie_head;
  plan.nodes.clear();
  for (int64_t i = 0; i < section.n_layer; ++i) {
    const int index = static_cast<int>(i);
    LayerSpec layer;
    layer.number = index;
    layer.width = layer.width_in = section.n_embd;
    layer.attention = {index};
    layer.mlp = {index};
    layer.norm_in = {NormId::kIn, index};
    layer.norm = {{NormId::kMid, index}};
    if (i + 1 == section.n_layer) add_readout(layer);
    plan.nodes.push_back({layer});
  }
}

int64_t fitting_heads(int64_t n_embd, int64_t n_head) {
  for (int64_t heads = std::min(n_head, n_embd); heads > 1; --heads)
    if (n_embd % heads == 0) return heads;
  return 1;
}

}  // namespace fathom
