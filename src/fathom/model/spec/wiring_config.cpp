#include "fathom/model/spec/wiring_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/early_exit_config.h"
#include "fathom/model/spec/sharing.h"
#include "fathom/model/spec/unused_calls.h"

namespace fathom {
namespace {

// Of a text that may be wrong; without one GPT-2's, as all styles call what it calls.
WiringParts called_parts(const WiringConfig& config) {
  return check_wiring(config.has_wiring() ? typed_wiring(config) : pre_norm_wiring());
}

void check_attention(const WiringConfig& c) {
  if (c.attn_value == AttentionSpec::kConcat && !c.attn_projection)
    misuse(
        "attn_value = concat with attn_projection = false: heads of the full width side by side "
        "do not fit the stream",
        "add --attn_projection=true, or --attn_value=sum or mean, which add or average the heads");
  const bool sigmoid = c.attn_scores == AttentionSpec::kSigmoid;
  if (c.attn_mask == AttentionSpec::kSink && (sigmoid || c.attn_scores == AttentionSpec::kFixed))
    misuse(fmt::format("attn_mask = sink with attn_scores = {}: a sink is a key of score 0, which "
                       "these scores leave without a meaning",
                       sigmoid ? "sigmoid" : "fixed"),
           "take attn_scores = softmax or uniform, or attn_mask = causal");
}

const char* style_name(BlockStyle style) {
  return style == BlockStyle::kSandwich ? "sandwich"
         : style == BlockStyle::kHuginn ? "huginn"
                                        : "gpt2";
}

// Norms that a block style has itself.
void check_style(const WiringConfig& c, const BackboneConfig& b) {
  if (b.block_style == BlockStyle::kGpt2) return;
  const char* style = style_name(b.block_style);
  if (c.has_wiring())
    misuse(fmt::format("wiring = {} with block_style = {}: both say how a block joins its parts",
                       in_quotes(c.wiring), style),
           "add --block_style=gpt2 to take the wiring, or --wiring=None to take the style");
  if (c.norm_kind == NormChoice::kLayer || c.norm_kind == NormChoice::kNone)
    misuse(fmt::format("norm_kind = {} with block_style = {}, whose blocks have RMS norms",
                       c.norm_kind == NormChoice::kLayer ? "layer" : "none", style),
           "add --norm_kind=rms, or write the block out as a wiring with --block_style=gpt2");
  if (ties_the_last(c.norm_ties) && c.norm_kind == NormChoice::kStyle)
    misuse(fmt::format("norm_ties = {} with block_style = {}: its blocks have RMS norms and the "
                       "last norm is a layer norm, which one module cannot be",
                       name_of(c.norm_ties), style),
           "add --norm_kind=rms");
}

void check_last_tie(const WiringConfig& c, const BackboneConfig& b) {
  if (!ties_the_last(c.norm_ties)) return;
  const char* ties = name_of(c.norm_ties);
  const int count = instances_of(c, ModuleClass::kNorm, b.n_layer).count;
  if (count != 1)
    misuse(fmt::format("norm_ties = {} needs share_norm = one: there are {} norms {}, and the last "
                       "one can be only one of them",
                       ties, count,
                       c.norm_ties == NormTies::kWithin ? "within the layers' blocks"
                                                        : "at the layers' doors"),
           "add --share_norm=one, or --norm_ties=none");
  if (b.init == Init::kTakase && b.tie_head)
    misuse(fmt::format("norm_ties = {} with init = takase, whose last norm is multiplied where a "
                       "table is the head (tie_head = true): it cannot be the {} too",
                       ties, c.norm_ties == NormTies::kWithin ? "blocks'" : "doors'"),
           "take another init, tie_head=false or norm_ties=none");
}

void check_ties(const WiringConfig& c, const BackboneConfig& b) {
  if (c.norm_ties == NormTies::kNone || !c.has_norms()) return;
  check_last_tie(c, b);
  if (!c.has_wiring()) return;
  const bool has_within = called_parts(c).norms > 0;
  const bool has_doors = reader_of_n(c) == NormReader::kBlock;
  // All: those of the three that there are.
  if (!has_doors &&
      (c.norm_ties == NormTies::kAll ? !has_within : c.norm_ties != NormTies::kWithin))
    misuse(fmt::format("norm_ties = {} with wiring = {}, which does not read n: there is no norm "
                       "at the layers' doors to tie",
                       name_of(c.norm_ties), in_quotes(c.wiring)),
           "let the wiring read n, or take norm_ties = none");
  if (!has_within && (c.norm_ties == NormTies::kBlocks || c.norm_ties == NormTies::kWithin))
    misuse(fmt::format("norm_ties = {} with wiring = {}, which does not call N: there is no norm "
                       "within the blocks to tie",
                       name_of(c.norm_ties), in_quotes(c.wiring)),
           "let the wiring call N, or take norm_ties = last or none");
}

// Layers that share a module are equally wide.
void check_shared_widths(const WiringConfig& c, const BackboneConfig& b, const EarlyExitConfig& e) {
  const IntList& widths = e.layer_widths;
  if (widths.empty() || widths.front() == widths.back()) return;
  const std::string shown = fmt::format("layer_widths = [{}]", shown_list(widths));
  for (const ModuleClass which : {ModuleClass::kAttention, ModuleClass::kMlp, ModuleClass::kNorm}) {
    const Instances instances = instances_of(c, which, b.n_layer);
    std::vector<int64_t> first(static_cast<size_t>(instances.count), -1);  // layer that has it
    for (size_t i = 0; i < instances.of_layer.size(); ++i) {
      int64_t& known = first[static_cast<size_t>(instances.of_layer[i])];
      if (known < 0) known = static_cast<int64_t>(i);
      if (widths[static_cast<size_t>(known)] == widths[i]) continue;
      misuse(fmt::format("{} = {} with {}: layers {} and {} share their {} and are {} and {} wide",
                         sharing_key(c, which), shown_sharing(c, which), shown, known, i,
                         class_name(which), widths[static_cast<size_t>(known)], widths[i]),
             "let layers of different widths have instances of their own");
    }
  }
  if (c.positions == Positions::kEveryLayer)
    misuse(fmt::format("positions = every_layer with {}: one table of positions fits one width",
                       shown),
           "add --positions=add, or --layer_widths=None");
  if (c.has_wiring() && called_parts(c).names_pos)
    misuse(fmt::format("wiring = {} with {}: it reads pos, and one table of positions fits one "
                       "width",
                       in_quotes(c.wiring), shown),
           "leave pos out of the wiring, or add --layer_widths=None");
}

// A table that is there for the blocks alone has to be read by them.
void check_positions(const WiringConfig& c) {
  if (!c.has_wiring() || c.positions != Positions::kNone) return;
  if (called_parts(c).names_pos && !reads_pos(c))
    misuse(fmt::format("positions = none with wiring = {}: neither r nor y is made of pos, so that "
                       "its table would never learn",
                       in_quotes(c.wiring)),
           "make r of it, leave it out, or take positions = add");
}

}  // namespace

bool ties_the_last(NormTies ties) {
  return ties == NormTies::kLast || ties == NormTies::kAll || ties == NormTies::kWithin;
}

bool ties_those_within(NormTies ties) {
  return ties == NormTies::kAll || ties == NormTies::kBlocks || ties == NormTies::kWithin;
}

const char* name_of(NormTies ties) {
  switch (ties) {
    case NormTies::kLast:
      return "last";
    case NormTies::kAll:
      return "all";
    case NormTies::kBlocks:
      return "blocks";
    case NormTies::kWithin:
      return "within";
    case NormTies::kNone:
      break;
  }
  return "none";
}

bool WiringConfig::has_wiring() const {
  return !trim(wiring).empty() && trim(wiring) != "None" && trim(wiring) != "none";
}

bool WiringConfig::calls_attention() const {
  try {
    return called_parts(*this).attentions > 0;
  } catch (const Error&) {
    return true;
  }
}

bool WiringConfig::calls_mlp() const {
  try {
    return called_parts(*this).mlps > 0;
  } catch (const Error&) {
    return true;
  }
}

Wiring typed_wiring(const WiringConfig& config) {
  return parse_wiring(config.wiring);
}

void validate(const WiringConfig& c, const BackboneConfig& b, const EarlyExitConfig& early_exit) {
  if (c.has_wiring()) check_wiring(typed_wiring(c));
  check_attention(c);
  check_style(c, b);
  check_ties(c, b);
  for (const ModuleClass which : {ModuleClass::kAttention, ModuleClass::kMlp, ModuleClass::kNorm})
    instances_of(c, which, b.n_layer);
  check_shared_widths(c, b, early_exit);
  check_positions(c);
}

namespace {

// Makes the parts of one layer after the other.
class PartMaker {
 public:
  PartMaker(const WiringConfig& config, const BackboneConfig& backbone, DepthPlan& plan)
      : config_(config),
        backbone_(backbone),
        attention_(instances_of(config, ModuleClass::kAttention, backbone.n_layer)),
        mlp_(instances_of(config, ModuleClass::kMlp, backbone.n_layer)),
        norm_(instances_of(config, ModuleClass::kNorm, backbone.n_layer)) {
    if (!config.has_wiring()) return;
    plan.wirings = {typed_wiring(config)};
    parts_ = check_wiring(plan.wirings.front());
    reader_of_n_ = reader_of_n(config);
    reads_pos_ = fathom::reads_pos(config);
  }

  bool reads_pos() const { return reads_pos_; }

  void give(LayerSpec& layer) {
    if (config_.has_wiring()) take_called(layer);
    for (size_t k = 0; k < layer.attention.size(); ++k)
      layer.attention[k] = attention(attention_.part(static_cast<int>(k), index_));
    for (size_t k = 0; k < layer.mlp.size(); ++k)
      change(layer.mlp[k], mlp_.part(static_cast<int>(k), index_));
    norms(layer);
    ++index_;
  }

 private:
  // As many parts as the wiring calls.
  void take_called(LayerSpec& layer) const {
    layer.wiring = 0;
    layer.attention.assign(static_cast<size_t>(parts_.attentions), AttentionSpec());
    layer.mlp.assign(static_cast<size_t>(parts_.mlps), MlpSpec());
    layer.norm.clear();
    for (int k = 0; k < parts_.norms; ++k)
      layer.norm.emplace_back(NormId::kMid, norm_.part(k, index_));
  }

  AttentionSpec attention(int instance) const {
    AttentionSpec spec(instance);
    spec.value = config_.attn_value;
    spec.output_projection = config_.attn_projection;
    spec.bias = config_.attn_bias;
    spec.scores = config_.attn_scores;
    spec.mask = config_.attn_mask;
    return spec;
  }

  void change(MlpSpec& mlp, int instance) const {
    mlp.instance = instance;
    mlp.hidden = config_.mlp_hidden;
    if (config_.mlp_activation != MlpSpec::kOfBackbone) mlp.act = config_.mlp_activation;
    mlp.gated = config_.mlp_gated;
    mlp.bias = config_.mlp_bias;
  }

  void change(NormSpec& norm) const {
    switch (config_.norm_kind) {
      case NormChoice::kStyle:
        break;
      case NormChoice::kLayer:
        norm.kind = NormSpec::kLayer;
        norm.eps.reset();
        break;
      case NormChoice::kRms:
        norm.kind = NormSpec::kRms;
        norm.eps = backbone_.rms_norm_eps;
        break;
      case NormChoice::kNone:
        norm.kind = NormSpec::kNone;
        norm.eps.reset();
        break;
    }
    norm.weight = norm.weight && config_.norm_affine;
  }

  void norms(LayerSpec& layer) const {
    const int own = norm_.of_layer.at(index_);
    layer.norm_in.index = own;
    // A style's norms have a place each.
    if (!config_.has_wiring())
      for (NormSpec& norm : layer.norm) norm.index = own;
    change(layer.norm_in);
    for (NormSpec& norm : layer.norm) change(norm);
    if (layer.readout) change(layer.readout->norm);
    const bool reads_n = reader_of_n_ == NormReader::kBlock;
    if (!reads_n) layer.norm_in.weight = false;  // which would never learn
    if (reader_of_n_ == NormReader::kNobody) layer.norm_in.kind = NormSpec::kNone;
    if (config_.norm_ties == NormTies::kNone || !config_.has_norms()) return;
    if (!reads_n && layer.norm.empty()) return;  // which validate() refuses
    const bool of_doors = reads_n && config_.norm_ties != NormTies::kWithin;
    const NormSpec tied = of_doors ? layer.norm_in : layer.norm.front();
    if (ties_those_within(config_.norm_ties)) layer.norm.assign(layer.norm.size(), tied);
    if (layer.readout && ties_the_last(config_.norm_ties)) layer.readout->norm = tied;
  }

  const WiringConfig& config_;
  const BackboneConfig& backbone_;
  const Instances attention_, mlp_, norm_;
  WiringParts parts_;
  NormReader reader_of_n_ = NormReader::kBlock;
  bool reads_pos_ = false;
  size_t index_ = 0;  // of the layer
};

void place_positions(Positions positions, bool blocks_read, DepthPlan& plan) {
  std::vector<Injection>& door = plan.stem.door;
  const auto table = std::find_if(door.begin(), door.end(), [](const Injection& injection) {
    return injection.kind == Injection::kPositionTable;
  });
  if (positions == Positions::kNone && blocks_read) table->meeting = Injection::kNotMet;
  if (positions == Positions::kNone && !blocks_read) door.erase(table);
  if (positions == Positions::kMultiply) table->meeting = Injection::kMultiply;
  if (positions != Positions::kEveryLayer) return;
  bool is_first = true;
  each_layer(plan, [&](LayerSpec& layer) {
    if (!is_first) layer.door.push_back({Injection::kPositionTable, 0});
    is_first = false;
  });
}

}  // namespace

void apply(const WiringConfig& section, const BackboneConfig& backbone, DepthPlan& plan) {
  PartMaker maker(section, backbone, plan);
  each_layer(plan, [&](LayerSpec& layer) { maker.give(layer); });
  place_positions(section.positions, maker.reads_pos(), plan);
}

}  // namespace fathom
