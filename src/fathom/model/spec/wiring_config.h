// What a model's blocks are made of: how they join their parts, which kinds these are, and which
// layers share them. Everything at its default is the backbone's block_style.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/model/spec/attention_spec.h"
#include "fathom/model/spec/mlp_spec.h"
#include "fathom/model/spec/wiring.h"

namespace fathom {

struct DepthPlan;
struct EarlyExitConfig;
struct LayerSpec;

enum class NormChoice {
  kStyle,  // block_style's
  kLayer,
  kRms,
  kNone,
};

// Which norms are one module: those at the doors, within the blocks, and the last one.
enum class NormTies {
  kNone,
  kLast,    // doors and last
  kAll,     // all three
  kBlocks,  // doors and within, of each instance
  kWithin,  // within and last
};
bool ties_the_last(NormTies ties);
bool ties_those_within(NormTies ties);
const char* name_of(NormTies ties);

// How a table of positions meets the stream.
enum class Positions {
  kAdd,         // added to the token's row
  kMultiply,    // the token's row times the position's, which begins as ones
  kNone,        // there is no table
  kEveryLayer,  // added, and the same row again at each later layer's door
};

// Modules of a block that layers may share, class by class.
enum class ModuleClass { kAttention, kMlp, kNorm };

// Whose weights a layer has.
struct Instances {
  std::vector<int> of_layer;  // from 0, without gaps
  int count = 0;

  // Part number k, of A[k], M[k] or N[k], in the layer.
  int part(int k, size_t layer) const { return k * count + of_layer.at(layer); }
};

struct WiringConfig {
  std::string wiring;  // as in model/spec/wiring.h; empty or None: block_style's

  AttentionSpec::Value attn_value = AttentionSpec::kLinear;
  bool attn_projection = true;
  AttentionSpec::Scores attn_scores = AttentionSpec::kSoftmax;
  AttentionSpec::Mask attn_mask = AttentionSpec::kCausal;
  std::optional<bool> attn_bias;  // unset: the backbone's

  double mlp_hidden = 4;  // in units of the width
  MlpSpec::Act mlp_activation = MlpSpec::kOfBackbone;
  bool mlp_gated = false;
  std::optional<bool> mlp_bias;

  NormChoice norm_kind = NormChoice::kStyle;
  bool norm_affine = true;
  NormTies norm_ties = NormTies::kNone;

  // free, one, or an instance for each layer; the empty list of a class: `share`.
  ChoiceOrTree share = {"free", {}}, share_attn, share_mlp, share_norm;

  Positions positions = Positions::kAdd;

  bool has_wiring() const;
  bool has_norms() const { return norm_kind != NormChoice::kNone; }
  // The block calls an A or an M. True of a text that does not parse: validate() tells of it.
  bool calls_attention() const;
  bool calls_mlp() const;
};

// Of the text. Throws Error(kUsage), with the place in it.
Wiring typed_wiring(const WiringConfig& config);

// Throws Error(kUsage) for a list that does not fit n_layer, with its key and the layer.
Instances instances_of(const WiringConfig& config, ModuleClass which, int64_t n_layer);

void add_fields(FieldList& list, WiringConfig& config);

// Throws Error(kUsage) for combinations without a meaning, naming both keys.
void validate(const WiringConfig& config, const BackboneConfig& backbone,
              const EarlyExitConfig& early_exit);

// A sentence for parts that are called in vain in the last of layers, each of which is called once.
std::vector<std::string> remarks(const WiringConfig& config, int64_t n_layer);

// Gives the plan's blocks their wiring, parts, instances and norms, and its doors their positions.
// After all that makes layers wide, lets them answer or groups them: doors are read last, and every
// readout has its norm.
void apply(const WiringConfig& section, const BackboneConfig& backbone, DepthPlan& plan);

}  // namespace fathom
