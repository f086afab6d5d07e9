#include "fathom/model/spec/loop_counts.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {
namespace {

void add_ranges(const std::vector<PlanNode>& nodes, int& layers, std::vector<LoopRange>& ranges) {
  for (const PlanNode& node : nodes) {
    const auto* group = std::get_if<LoopGroup>(&node.node);
    if (group == nullptr) {
      ++layers;
      continue;
    }
    const size_t number = ranges.size();
    ranges.push_back({layers, layers});
    add_ranges(group->body, layers, ranges);
    ranges[number].last = layers - 1;
  }
}

}  // namespace

std::vector<LoopRange> loop_ranges(const DepthPlan& plan) {
  std::vector<LoopRange> ranges;
  int layers = 0;
  add_ranges(plan.nodes, layers, ranges);
  return ranges;
}

std::vector<std::string> loop_group_names(const DepthPlan& plan) {
  std::vector<std::string> names;
  for (const LoopRange& r : loop_ranges(plan)) {
    std::string name = r.last > r.first ? fmt::format("layers {}-{}", r.first, r.last)
                                        : fmt::format("layer {}", r.first);
    while (std::count(names.begin(), names.end(), name) > 0) name += ", inner";
    names.push_back(std::move(name));
  }
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
    loop.sampled_in_eval = false;
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
