// The keys of what blocks are made of.
#include "fathom/model/spec/wiring_config.h"

namespace fathom {
namespace {

void add_attention_fields(FieldList& list, WiringConfig& c) {
  using A = AttentionSpec;
  const char* const kCalls = "a wiring that calls A";
  const auto calls = [&c] { return c.calls_attention(); };
  list.add<A::Value>(
          "attn_value", c.attn_value,
          "what heads take; linear: C / H channels each of a linear map; else the input "
          "itself, all C channels for every head, side by side, summed or averaged",
          {{"linear", A::kLinear}, {"concat", A::kConcat}, {"sum", A::kSum}, {"mean", A::kMean}})
      .shapes_weights()
      .needs(kCalls, calls);
  list.add("attn_projection", c.attn_projection, "the heads' output is mapped back by a linear map")
      .alias("attn_out_proj")
      .shapes_weights()
      .needs(kCalls, calls);
  list.add<A::Scores>(
          "attn_scores", c.attn_scores,
          "weights of keys; sigmoid: 1 / (1 + m exp(-s)) with m keys seen; uniform: 1 / "
          "m; fixed: softmax of the distance by ALiBi's slopes; the last two have no "
          "queries and keys",
          {{"softmax", A::kSoftmax},
           {"sigmoid", A::kSigmoid},
           {"uniform", A::kUniform},
           {"fixed", A::kFixed}})
      .shapes_weights()
      .needs(kCalls, calls);
  list.add<A::Mask>("attn_mask", c.attn_mask,
                    "causal: itself and what comes before; strict: without itself; sink: causal, "
                    "and a key of score 0 and value 0 beside",
                    {{"causal", A::kCausal}, {"strict", A::kStrict}, {"sink", A::kSink}})
      .shapes_weights()
      .needs(kCalls, calls);
  list.add("attn_bias", c.attn_bias, "biases of its linear maps, None: bias")
      .shapes_weights()
      .needs(kCalls, calls)
      .needs("attn_value = linear, attn_projection = true, or attn_scores = softmax or sigmoid",
             [&c] {
               A spec;
               spec.value = c.attn_value;
               spec.scores = c.attn_scores;
               return c.attn_projection || !spec.projection().empty();
             });
}

void add_mlp_fields(FieldList& list, WiringConfig& c) {
  using M = MlpSpec;
  const char* const kCalls = "a wiring that calls M";
  const auto calls = [&c] { return c.calls_mlp(); };
  list.add("mlp_hidden", c.mlp_hidden, "width of the hidden layer, a multiple of the stream's")
      .above(0)
      .at_most(256)
      .alias("mlp_ratio")
      .shapes_weights()
      .needs(kCalls, calls);
  list.add<M::Act>("mlp_activation", c.mlp_activation,
                   "of the hidden layer; style: block_style's, which of gpt2 is activation",
                   {{"style", M::kOfBackbone},
                    {"gelu", M::kGelu},
                    {"gelu_tanh", M::kGeluTanh},
                    {"relu", M::kRelu},
                    {"relu_squared", M::kReluSquared},
                    {"silu", M::kSilu},
                    {"sigmoid", M::kSigmoid},
                    {"tanh", M::kTanh}})
      .shapes_weights()
      .needs(kCalls, calls);
  list.add("mlp_gated", c.mlp_gated, "down(act(gate(x)) * up(x)) in place of down(act(up(x)))")
      .shapes_weights()
      .needs(kCalls, calls);
  list.add("mlp_bias", c.mlp_bias, "biases of its linear maps, None: bias")
      .shapes_weights()
      .needs(kCalls, calls);
}

void add_norm_fields(FieldList& list, WiringConfig& c) {
  list.add<NormChoice>("norm_kind", c.norm_kind,
                       "of doors, blocks and readouts; style: block_style's; layer: with norm_eps; "
                       "rms: with rms_norm_eps; none: the value itself",
                       {{"style", NormChoice::kStyle},
                        {"layer", NormChoice::kLayer},
                        {"rms", NormChoice::kRms},
                        {"none", NormChoice::kNone}})
      .shapes_weights();
  list.add("norm_affine", c.norm_affine, "norms have weights, and biases where bias says so")
      .shapes_weights()
      .needs("norm_kind = style, layer or rms", [&c] { return c.has_norms(); });
  list.add<NormTies>(
          "norm_ties", c.norm_ties,
          "norms that are one module; last: at all doors and the last one; within: in the blocks "
          "and the last one; all: these three; each needs share_norm = one; blocks: at a door and "
          "in its block",
          {{"none", NormTies::kNone},
           {"last", NormTies::kLast},
           {"all", NormTies::kAll},
           {"blocks", NormTies::kBlocks},
           {"within", NormTies::kWithin}})
      .shapes_weights()
      .needs("norms with weights (norm_affine = true, norm_kind other than none)",
             [&c] { return c.has_norms() && c.norm_affine; });
}

bool is_unset(const ChoiceOrTree& sharing) {
  return sharing.choice.empty() && sharing.list.empty();
}

void add_sharing_fields(FieldList& list, WiringConfig& c) {
  const std::vector<std::string> words = {"free", "one"};
  list.add("share", c.share,
           "whose weights layers have; free: each its own; one: all the same; or an instance for "
           "each layer, [0, 1, 0, 1]",
           words, EmptyTree::kRefused)
      .at_least(0)
      .at_most(9999)
      .shapes_weights()
      .needs("share_attn, share_mlp or share_norm = None", [&c] {
        return is_unset(c.share_attn) || is_unset(c.share_mlp) || is_unset(c.share_norm);
      });
  list.add("share_attn", c.share_attn, "the same of attentions alone, None: share", words,
           EmptyTree::kNone)
      .at_least(0)
      .at_most(9999)
      .shapes_weights()
      .needs("a wiring that calls A", [&c] { return c.calls_attention(); });
  list.add("share_mlp", c.share_mlp, "the same of MLPs alone, None: share", words, EmptyTree::kNone)
      .at_least(0)
      .at_most(9999)
      .shapes_weights()
      .needs("a wiring that calls M", [&c] { return c.calls_mlp(); });
  list.add("share_norm", c.share_norm, "the same of norms at doors and in blocks, None: share",
           words, EmptyTree::kNone)
      .at_least(0)
      .at_most(9999)
      .shapes_weights()
      .needs("norms with weights (norm_affine = true, norm_kind other than none)",
             [&c] { return c.has_norms() && c.norm_affine; });
}

}  // namespace

void add_fields(FieldList& list, WiringConfig& c) {
  list.section("wiring");
  list.add("wiring", c.wiring,
           "how a block joins attention A, MLP M, norms N and the stream r, 'r = r + A(n) * M(n)', "
           "n being r's norm and pos the position's row; None: block_style's")
      .shapes_weights();
  add_attention_fields(list, c);
  add_mlp_fields(list, c);
  add_norm_fields(list, c);
  add_sharing_fields(list, c);
  list.add<Positions>("positions", c.positions,
                      "add: a table's row added to the token's; mul: the token's row times it; "
                      "none: no table, or the wiring alone reads it (pos); every_layer: added at "
                      "each later layer's door again",
                      {{"add", Positions::kAdd},
                       {"mul", Positions::kMultiply},
                       {"none", Positions::kNone},
                       {"every_layer", Positions::kEveryLayer}})
      .shapes_weights();
}

}  // namespace fathom
