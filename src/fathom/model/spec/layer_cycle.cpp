#include "fathom/model/spec/layer_cycle.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {
namespace {

bool is_same(const Injection& a, const Injection& b) {
  return a.kind == b.kind && a.instance == b.instance && a.every_iteration == b.every_iteration &&
         a.meeting == b.meeting && a.amount == b.amount && a.norm == b.norm;
}

// The same weights do the same, behind the door.
bool repeats(const LayerSpec& a, const LayerSpec& b) {
  const auto same = [](const auto& x, const auto& y) { return x.instance == y.instance; };
  const auto alike = [](const auto& x, const auto& y, const auto& equal) {
    return x.size() == y.size() && std::equal(x.begin(), x.end(), y.begin(), equal);
  };
  const auto same_norm = [](const NormSpec& x, const NormSpec& y) {
    return x == y && x.gain == y.gain;
  };
  return a.wiring == b.wiring && a.width == b.width && a.context == b.context &&
         alike(a.attention, b.attention, same) && alike(a.mlp, b.mlp, same) &&
         alike(a.norm, b.norm, same_norm) && same_norm(a.norm_in, b.norm_in);
}

std::vector<LayerSpec> layers_of(const DepthPlan& plan) {
  std::vector<LayerSpec> layers;
  for (const PlanNode& node : plan.nodes) {
    const auto* const layer = std::get_if<LayerSpec>(&node.node);
    if (layer == nullptr) return {};
    layers.push_back(*layer);
  }
  return layers;
}

bool same_doors(const LayerSpec& a, const LayerSpec& b) {
  return a.door.size() == b.door.size() &&
         std::equal(a.door.begin(), a.door.end(), b.door.begin(), is_same);
}

size_t cycle_of(const std::vector<LayerSpec>& layers) {
  // What the first layer's door does may be of the beginning, where all others' do one thing.
  bool only_first = layers.size() > 2;
  for (size_t i = 2; i < layers.size(); ++i)
    only_first = only_first && same_doors(layers[1], layers[i]);
  for (size_t period = 1; period < layers.size(); ++period) {
    bool holds = true;
    for (size_t i = 0; i + period < layers.size(); ++i)
      holds = holds && repeats(layers[i], layers[i + period]) &&
              ((i == 0 && only_first) || same_doors(layers[i], layers[i + period]));
    if (holds) return period;
  }
  return 0;
}

// All that answer do so by one head, after one norm.
void check_readouts(const std::vector<LayerSpec>& layers, int64_t count) {
  const ReadoutSpec& last = *layers.back().readout;
  for (const LayerSpec& layer : layers)
    if (layer.readout && (layer.readout->head != last.head || !(layer.readout->norm == last.norm)))
      misuse(fmt::format("eval_layers = {} where layers have heads or last norms of their own: a "
                         "layer more has none",
                         count),
             "leave eval_layers out, or train with --layer_heads=false");
}

}  // namespace

int64_t cycle_length(const DepthPlan& plan) {
  return static_cast<int64_t>(cycle_of(layers_of(plan)));
}

std::vector<LayerSpec> cycled_layers(const DepthPlan& plan, int64_t count) {
  const std::vector<LayerSpec> layers = layers_of(plan);
  if (layers.empty())
    misuse(fmt::format("eval_layers = {} of a plan with loops (loop_groups): those have counts",
                       count),
           "say how often loops run, loop_counts or max_loops, in place of eval_layers");
  const auto L = static_cast<int64_t>(layers.size());
  if (count == L) return layers;
  const auto period = static_cast<int64_t>(cycle_of(layers));
  if (period == 0)
    misuse(fmt::format("eval_layers = {} of a model whose {} layers have weights of their own, or "
                       "do not repeat in a cycle: there is nothing to go on with",
                       count, L),
           "train one whose layers share their weights in a cycle, for example with --share=one");
  if (!layers.back().readout)
    misuse(fmt::format("eval_layers = {} of a model whose last layer has no readout", count),
           "leave eval_layers out");
  check_readouts(layers, count);
  const ReadoutSpec& last = *layers.back().readout;
  std::vector<LayerSpec> out;
  for (int64_t i = 0; i < count; ++i) {
    // Beyond the plan the latest layer of the cycle's place stands for it, never the first one.
    const int64_t as = i < L ? i : L - 1 - (L - 1 - i % period) % period;
    LayerSpec layer = layers[static_cast<size_t>(as)];
    if (i >= L) layer.number = layers.back().number + static_cast<int>(i - L + 1);
    // The plan's last layer may be the only one that answers: another of its place says whether one
    // there does.
    const LayerSpec& model = i < L - 1 ? layer : layers[static_cast<size_t>(i % period)];
    const bool answers = i + 1 == count || model.readout.has_value();
    if (!answers) layer.readout.reset();
    if (answers && (i >= L || !layer.readout)) {
      layer.readout = last;
      layer.readout->layer = last.layer - static_cast<int>(L - 1 - i);
    }
    out.push_back(std::move(layer));
  }
  return out;
}

}  // namespace fathom
