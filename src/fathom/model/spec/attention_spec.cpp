#include "fathom/model/spec/attention_spec.h"

#include <fmt/format.h>

#include "fathom/base/error.h"

namespace fathom {
namespace {

// Of the heads, before the output projection.
int64_t heads_width(const AttentionSpec& a, int64_t C, const BackboneConfig& backbone) {
  return a.value == AttentionSpec::kConcat ? C * backbone.n_head : C;
}

// Times C: queries, keys and values that are made by a linear map.
int64_t projected(const AttentionSpec& a) {
  return (a.compares() ? 2 : 0) + (a.value == AttentionSpec::kLinear ? 1 : 0);
}

}  // namespace

std::string AttentionSpec::name() const {
  return fmt::format("attention.{}", instance);
}

std::string AttentionSpec::projection() const {
  return std::string(compares() ? "qk" : "") + (value == kLinear ? "v" : "");
}

void AttentionSpec::check(const PartPlace& place) const {
  if (value == kConcat && !output_projection)
    misuse(
        fmt::format("{} has heads of the full width side by side and no output projection", name()),
        "give it the projection back to the stream's width, or sum or average the heads");
  if (mask == kSink && scores != kSoftmax && scores != kUniform)
    misuse(fmt::format("{} has a sink, and scores that leave it without a meaning", name()),
           "a sink has a score of its own in a softmax: take kSoftmax or kUniform");
  if (scores == kFixed && !place.causal)
    misuse(fmt::format("{} scores by the distance back in a plan that is not causal", name()),
           "take other scores, or a causal plan");
}

void AttentionSpec::declare(const PartPlace& place, ParameterList& list) const {
  const int64_t C = place.width;
  const bool has_bias = bias.value_or(list.backbone().bias);
  list.begin(name(), Part::kAttention);
  if (!projection().empty()) list.linear(projection(), projected(*this) * C, C, has_bias);
  if (output_projection)
    list.linear("out", C, heads_width(*this, C, list.backbone()), has_bias, /*residual=*/true);
}

void AttentionSpec::cost(const PartPlace& place, const CostSetting& setting, Cost& cost) const {
  const auto C = static_cast<double>(place.width), T = static_cast<double>(setting.T);
  const auto H = static_cast<double>(setting.backbone.n_head);
  const auto seen = static_cast<double>(setting.seen(place));
  const auto maps = static_cast<double>(projected(*this));
  const auto heads = static_cast<double>(heads_width(*this, place.width, setting.backbone));
  const double out = output_projection ? heads * C : 0;
  cost.flops.attention_linear += 2 * (maps * C * C + out);
  // Heads that are added are so before they meet the values.
  const double keys = compares() ? C : H;
  cost.flops.attention_scores += 2 * (keys * seen + heads * seen);
  // Queries, keys and values as they are made and by head, the heads' outputs, and the scores of
  // every head before and after they become weights.
  cost.kept += 2 * maps * C + 2 * heads + 2 * H * T;
}

double AttentionSpec::flops_of_keys(const PartPlace& place) const {
  const auto C = static_cast<double>(place.width);
  return 2 * static_cast<double>(projected(*this) - (compares() ? 1 : 0)) * C * C;
}

}  // namespace fathom
