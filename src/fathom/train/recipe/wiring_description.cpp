#include "fathom/train/recipe/wiring_description.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/canonical_wiring.h"
#include "fathom/model/spec/depth_plan.h"

namespace fathom {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

std::string attention_words(const AttentionSpec& a, const BackboneConfig& backbone) {
  const char* values[] = {"linear values", "the input as the value of every head, side by side",
                          "the input as the value of every head, summed",
                          "the input as the value of every head, averaged"};
  const char* scores[] = {"softmax of q k", "sigmoid of q k", "uniform weights",
                          "weights fixed by the distance"};
  const char* masks[] = {"causal", "strict (not itself)", "causal with a sink"};
  const bool has_maps = a.output_projection || !a.projection().empty();
  return fmt::format("{}, {}, {}, {}{}", values[a.value], scores[a.scores], masks[a.mask],
                     a.output_projection ? "output projection" : "no output projection",
                     !has_maps                        ? ""
                     : a.bias.value_or(backbone.bias) ? ", biases"
                                                      : ", no biases");
}

std::string mlp_words(const MlpSpec& m, const BackboneConfig& backbone) {
  const char* const of_backbone = backbone.activation == Activation::kGelu ? "gelu" : "gelu_tanh";
  const char* acts[] = {of_backbone,    "gelu", "gelu_tanh", "relu",
                        "relu_squared", "silu", "sigmoid",   "tanh"};
  return fmt::format("hidden {:g} C, {}{}, {}", m.hidden, acts[m.act], m.gated ? ", gated" : "",
                     m.bias.value_or(backbone.bias) ? "biases" : "no biases");
}

std::string norm_words(const NormSpec& n, const BackboneConfig& backbone) {
  if (n.kind == NormSpec::kNone) return "none";
  const bool is_layer = n.kind == NormSpec::kLayer;
  const bool has_bias = n.bias.value_or(is_layer && n.weight && backbone.bias);
  return fmt::format("{}, eps {:g}, {}", is_layer ? "layer" : "rms",
                     n.eps.value_or(backbone.norm_eps),
                     n.weight   ? has_bias ? "weights and biases" : "weights"
                     : has_bias ? "biases alone"
                                : "no weights");
}

// One class of parts, as layers have them.
struct PartsSaid {
  Words kinds;                              // each once, in the order of layers
  std::vector<std::vector<int>> instances;  // by layer: of its parts
  std::set<std::string> names;

  void add(const std::string& kind, const std::string& name) {
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) kinds.push_back(kind);
    names.insert(name);
  }
  // A norm that is none is no module.
  void add(const NormSpec& norm, const BackboneConfig& backbone) {
    add(norm_words(norm, backbone), norm.name());
    if (norm.kind == NormSpec::kNone) names.erase(norm.name());
  }
};

struct SaidBlock {
  std::string canonical, equivalent, hash;
};

struct Said {
  std::vector<SaidBlock> blocks;  // of layers, each once
  PartsSaid attention, mlp, doors, within, last;
  int layers = 0;
  std::string positions;
};

template <class Specs>
std::vector<int> numbers_of(const Specs& specs) {
  std::vector<int> numbers;
  for (const auto& spec : specs) numbers.push_back(spec.instance);
  return numbers;
}

std::vector<int> numbers_of_norms(const std::vector<NormSpec>& norms) {
  std::vector<int> numbers;
  for (const NormSpec& norm : norms)
    if (norm.kind != NormSpec::kNone) numbers.push_back(norm.index);
  return numbers;
}

std::string positions_of(const DepthPlan& plan) {
  std::string out = "none";
  for (const Injection& injection : plan.stem.door) {
    if (injection.kind != Injection::kPositionTable) continue;
    out = injection.meeting == Injection::kMultiply ? "the token's row times the position's"
          : injection.meeting == Injection::kAdd    ? "added to the token's row"
                                                    : "";
  }
  bool again = false;
  each_layer(plan, [&](const LayerSpec& layer) {
    for (const Injection& injection : layer.door)
      again = again || injection.kind == Injection::kPositionTable;
  });
  if (again) out += ", and again at later layers' doors";
  const bool read = std::any_of(plan.wirings.begin(), plan.wirings.end(),
                                [](const Wiring& w) { return check_wiring(w).names_pos; });
  if (read) out += out.empty() ? "read by the blocks alone" : ", and read by the blocks";
  return out;
}

// Factors are taken up by an output's map, which not every attention has.
OutputScales output_scales(const LayerSpec& layer) {
  OutputScales scales;
  for (const AttentionSpec& a : layer.attention)
    scales.attention =
        scales.attention && (a.output_projection || a.value == AttentionSpec::kLinear);
  return scales;
}

Said say_all(const ModelConfig& config) {
  const DepthPlan plan = make_depth_plan(config);
  const BackboneConfig& b = config.backbone;
  Said said;
  std::set<int> wirings;
  const bool y_is_read =
      std::any_of(plan.wirings.begin(), plan.wirings.end(),
                  [](const Wiring& wiring) { return check_wiring(wiring).reads_y; });
  each_layer(plan, [&](const LayerSpec& layer) {
    ++said.layers;
    if (wirings.insert(layer.wiring).second) {
      const Wiring& wiring = plan.wirings.at(static_cast<size_t>(layer.wiring));
      said.blocks.push_back({to_text(canonical(wiring, y_is_read)),
                             equivalence_text(wiring, output_scales(layer), y_is_read),
                             wiring_hash(wiring, y_is_read)});
    }
    for (const AttentionSpec& a : layer.attention)
      said.attention.add(attention_words(a, b), a.name());
    for (const MlpSpec& m : layer.mlp) said.mlp.add(mlp_words(m, b), m.name());
    said.attention.instances.push_back(numbers_of(layer.attention));
    said.mlp.instances.push_back(numbers_of(layer.mlp));
    std::vector<NormSpec> norms = {layer.norm_in};
    norms.insert(norms.end(), layer.norm.begin(), layer.norm.end());
    said.doors.add(layer.norm_in, b);
    for (const NormSpec& n : layer.norm) said.within.add(n, b);
    said.doors.instances.push_back(numbers_of_norms(norms));
    if (layer.readout) said.last.add(layer.readout->norm, b);
  });
  said.positions = positions_of(plan);
  return said;
}

// "1, shared by 12 layers", "12, none shared", or whose each layer has: "2, shared by 3 layers: 0
// 1 0".
std::string sharing_words(const PartsSaid& parts, int layers) {
  if (parts.names.empty()) return "none";
  size_t named = 0;
  for (const std::vector<int>& numbers : parts.instances) named += numbers.size();
  if (parts.names.size() == named) return fmt::format("{}, none shared", named);
  std::string out = fmt::format("{}, shared by {} layers", parts.names.size(), layers);
  constexpr int kMostShown = 32;
  const bool all_alike =
      std::equal(parts.instances.begin() + 1, parts.instances.end(), parts.instances.begin());
  if (all_alike || layers > kMostShown) return out;
  out += ":";
  for (const std::vector<int>& numbers : parts.instances)
    out += fmt::format(" {}", fmt::join(numbers, ","));
  return out;
}

Words tied_words(const Said& said) {
  Words out;
  const auto ties = [](const PartsSaid& a, const PartsSaid& b) {
    return std::any_of(a.names.begin(), a.names.end(),
                       [&](const std::string& name) { return b.names.count(name) > 0; });
  };
  if (ties(said.doors, said.last)) out.emplace_back("the last norm is the doors'");
  if (ties(said.within, said.doors)) out.emplace_back("those in blocks are the doors'");
  if (ties(said.within, said.last) && out.empty())
    out.emplace_back("the last norm is one of the blocks'");
  return out;
}

std::string of_kinds(const PartsSaid& parts) {
  return parts.kinds.empty() ? "none" : join(parts.kinds, "; or ");
}

json parts_json(const PartsSaid& parts) {
  return {{"kinds", parts.kinds}, {"count", parts.names.size()}, {"by_layer", parts.instances}};
}

}  // namespace

std::vector<std::pair<std::string, std::string>> wiring_lines(const ModelConfig& config) {
  const Said said = say_all(config);
  std::vector<std::pair<std::string, std::string>> lines;
  for (const SaidBlock& block : said.blocks) {
    lines.emplace_back("block", block.canonical);
    if (block.equivalent != block.canonical) lines.emplace_back("equivalent", block.equivalent);
    lines.emplace_back("hash", block.hash);
  }
  lines.emplace_back("attention", of_kinds(said.attention));
  lines.emplace_back("  instances", sharing_words(said.attention, said.layers));
  lines.emplace_back("MLP", of_kinds(said.mlp));
  lines.emplace_back("  instances", sharing_words(said.mlp, said.layers));
  lines.emplace_back("norms at doors", of_kinds(said.doors));
  if (!said.within.kinds.empty()) lines.emplace_back("norms in blocks", of_kinds(said.within));
  lines.emplace_back("last norm", of_kinds(said.last));
  for (const std::string& tie : tied_words(said)) lines.emplace_back("  tied", tie);
  PartsSaid norms = said.doors;
  norms.names.insert(said.within.names.begin(), said.within.names.end());
  lines.emplace_back("  instances", sharing_words(norms, said.layers));
  lines.emplace_back("positions", said.positions);
  return lines;
}

json wiring_json(const ModelConfig& config) {
  const Said said = say_all(config);
  json blocks = json::array();
  for (const SaidBlock& block : said.blocks)
    blocks.push_back(
        {{"canonical", block.canonical}, {"equivalent", block.equivalent}, {"hash", block.hash}});
  return {{"blocks", blocks},
          {"attention", parts_json(said.attention)},
          {"mlp", parts_json(said.mlp)},
          {"norms",
           {{"at_doors", said.doors.kinds},
            {"in_blocks", said.within.kinds},
            {"last", said.last.kinds},
            {"tied", tied_words(said)},
            {"by_layer", said.doors.instances}}},
          {"positions", said.positions}};
}

json given_wiring_json(const ModelConfig& config) {
  if (!config.wiring.has_wiring()) return nullptr;
  const Wiring wiring = typed_wiring(config.wiring);
  return {{"canonical", to_text(canonical(wiring))}, {"hash", wiring_hash(wiring)}};
}

std::string given_wiring_line(const ModelConfig& config) {
  if (!config.wiring.has_wiring()) return "";
  const Wiring wiring = typed_wiring(config.wiring);
  return fmt::format("wiring {} ({})", to_text(canonical(wiring)), wiring_hash(wiring));
}

namespace {

// Block styles of their own names have norms of their own names.
bool is_formula(const ModelConfig& config) {
  return config.wiring.has_wiring() || config.backbone.block_style == BlockStyle::kGpt2;
}

Wiring formula_of(const ModelConfig& config) {
  return config.wiring.has_wiring() ? typed_wiring(config.wiring) : pre_norm_wiring();
}

}  // namespace

WeightsBetween compare_wirings(const ModelConfig& from, const ModelConfig& to) {
  if (from.architecture != nullptr || to.architecture != nullptr) return WeightsBetween::kSame;
  if (!is_formula(from) || !is_formula(to))
    return from.backbone.block_style == to.backbone.block_style ? WeightsBetween::kSame
                                                                : WeightsBetween::kOther;
  const Wiring a = formula_of(from), b = formula_of(to);
  if (to_text(canonical(a)) != to_text(canonical(b))) return WeightsBetween::kOther;
  return text_by_part(a) == text_by_part(b) ? WeightsBetween::kSame : WeightsBetween::kExchanged;
}

std::string block_text(const ModelConfig& config) {
  if (is_formula(config)) return to_text(formula_of(config));
  return config.backbone.block_style == BlockStyle::kSandwich ? "block_style = sandwich"
                                                              : "block_style = huginn";
}

bool is_same_wiring(const std::string& a, const std::string& b) {
  WiringConfig one, other;
  one.wiring = a;
  other.wiring = b;
  if (!one.has_wiring() || !other.has_wiring()) return one.has_wiring() == other.has_wiring();
  try {
    return to_text(canonical(typed_wiring(one))) == to_text(canonical(typed_wiring(other)));
  } catch (const Error&) {
    return false;  // of a text that does not parse, which is told where it is used
  }
}

}  // namespace fathom
