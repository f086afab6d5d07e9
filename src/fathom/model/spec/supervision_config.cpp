#include "fathom/model/spec/supervision_config.h"

#include <fmt/format.h>

#include <numeric>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/depth_plan.h"

namespace fathom {

void add_fields(FieldList& list, SupervisionConfig& c) {
  list.section("supervision");
  list.add("layer_supervision", c.layer_supervision,
           "layers whose loss is trained: the last (in a loop, its answer after the last "
           "iteration), all, all but on tokens that an earlier layer answered (skip_easy), or a "
           "weight per layer; but for last, a layer in a loop counts once an iteration",
           {"last", "all", "skip_easy"})
      .at_least(0);
  list.add<SupervisionReduce>(
          "supervision_reduce", c.reduce,
          "mean: weighted mean of the layers' losses, where one in a loop adds its loss of every "
          "iteration; sum: their sum",
          {{"mean", SupervisionReduce::kMean}, {"sum", SupervisionReduce::kSum}})
      .needs("another layer_supervision than last",
             [&c] { return c.layer_supervision.choice != "last"; });
  list.add<SkipEasyWeight>("skip_easy_weight", c.skip_easy_weight,
                           "skip_easy averages over a layer's remaining tokens (layer), or weighs "
                           "every token alike (token)",
                           {{"layer", SkipEasyWeight::kLayer}, {"token", SkipEasyWeight::kToken}})
      .needs("layer_supervision = skip_easy", [&c] { return c.skips_easy(); });
}

void validate(const SupervisionConfig& c, const BackboneConfig& b) {
  const FloatList& weights = c.layer_supervision.list;
  if (!c.layer_supervision.choice.empty()) return;
  if (static_cast<int64_t>(weights.size()) != b.n_layer)
    misuse(fmt::format("layer_supervision = [{}] has {} weights, n_layer = {} needs {}",
                       shown_list(weights), weights.size(), b.n_layer, b.n_layer),
           "give one per layer, or last, all or skip_easy");
  if (std::accumulate(weights.begin(), weights.end(), 0.0) <= 0)
    misuse(fmt::format("layer_supervision = [{}] trains no layer", shown_list(weights)),
           "one of the weights must be above 0");
}

void apply(const SupervisionConfig& section, DepthPlan& plan, Policy& /*policy*/) {
  int64_t n_layer = 0;
  each_layer(plan, [&](LayerSpec&) { ++n_layer; });
  const std::vector<double> weights = section.layer_weights(n_layer);
  size_t i = 0;
  each_layer(plan, [&](LayerSpec& layer) {
    if (weights[i++] > 0) add_readout(layer);
  });
}

std::vector<double> SupervisionConfig::layer_weights(int64_t n_layer) const {
  const auto L = static_cast<size_t>(n_layer);
  std::vector<double> weights(L, 1.0);
  if (layer_supervision.choice == "last") {
    weights.assign(L, 0.0);
    weights.back() = 1;
  } else if (layer_supervision.choice.empty()) {
    weights = layer_supervision.list;
  }
  if (reduce == SupervisionReduce::kSum) return weights;
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& weight : weights) weight /= total;
  return weights;
}

}  // namespace fathom
