#include "fathom/model/spec/loop_counts.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {
namespace {

void add_groups(const std::vector<PlanNode>& nodes, int& layers, std::vector<std::string>& names) {
  for (const PlanNode& node : nodes) {
    const auto* group = std::get_if<LoopGroup>(&node.node);
    if (group == nullptr) {
      ++layers;
      continue;
    }
    const size_t number = names.size();
    names.emplace_back();
    const int first = layers;
    add_groups(group->body, layers, names);
    names[number] = layers - first > 1 ? fmt::format("layers {}-{}", first, layers - 1)
                                       : fmt::format("layer {}", first);
  }
}

}  // namespace

std::vector<std::string> loop_group_names(const DepthPlan& plan) {
  std::vector<std::string> names;
  int layers = 0;
  add_groups(plan.nodes, layers, names);
  return names;
}

void require_loops(const DepthPlan& plan, const std::string& who) {
  if (loop_group_names(plan).empty())
    misuse(fmt::format("{} has no loops: every layer runs once", who),
           "take a run that was trained with loop groups, for example "
           "--loop_groups='[[1,2]]'");
}

Policy with_loop_counts(const DepthPlan& plan, Policy policy, int64_t count) {
  policy.loops.resize(loop_group_names(plan).size());
  for (LoopPolicy& loop : policy.loops) {
    loop.count = count;
    loop.counts.clear();
    loop.halting = {};
  }
  return policy;
}

std::optional<int64_t> most_trained_loops(const ModelConfig& model) {
  const LoopingConfig& looping = model.looping;
  if (!looping.loops()) return std::nullopt;
  const LoopSampler sampler = looping.sampler();
  if (sampler.draws() || looping.counts.empty()) return sampler.largest();
  return *std::max_element(looping.counts.begin(), looping.counts.end());
}

}  // namespace fathom
