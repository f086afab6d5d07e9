// The loop groups of a plan, and passes that run them as often as is asked for. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/policy.h"

namespace fathom {

// The first and the last layer of each group, in the order of their numbers in policies: a group
// before those within it.
struct LoopRange {
  int first = 0, last = 0;
};
std::vector<LoopRange> loop_ranges(const DepthPlan& plan);
// The same in words, by which errors and reports call a group: "layers 2-3", "layer 4", and, where
// one is all that another one has, "layer 4, inner".
std::vector<std::string> loop_group_names(const DepthPlan& plan);
// Throws Error(kUsage) for what has no meaning: counts below 1 or above the loop's, a loop's rule
// that needs a readout which its body has not, ...
void check_policy(const Policy& policy, const DepthPlan& plan);
// Throws Error(kUsage) where there are none. `who` is for the message.
void require_loops(const DepthPlan& plan, const std::string& who);

// The policy with `count` iterations of each of the plan's groups for everybody: no draw, and
// nobody leaves a loop.
Policy with_loop_counts(const DepthPlan& plan, Policy policy, int64_t count);

// The most iterations of a loop that training had (of a distribution without an end, that hardly
// any draw exceeds); unset: nothing loops.
std::optional<int64_t> most_trained_loops(const ModelConfig& model);

}  // namespace fathom
