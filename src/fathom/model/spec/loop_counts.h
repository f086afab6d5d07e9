// The loop groups of a plan, and passes that run them as often as is asked for. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/policy.h"

namespace fathom {

// What each group holds, in the order of their numbers in policies: "layers 2-3", "layer 4".
std::vector<std::string> loop_group_names(const DepthPlan& plan);
// Throws Error(kUsage) where there are none. `who` is for the message.
void require_loops(const DepthPlan& plan, const std::string& who);

// The policy with `count` iterations of each of the plan's groups for everybody: no draw, and
// nobody leaves a loop.
Policy with_loop_counts(const DepthPlan& plan, Policy policy, int64_t count);

// The most iterations of a loop that training had (of a distribution without an end, that hardly
// any draw exceeds); unset: nothing loops.
std::optional<int64_t> most_trained_loops(const ModelConfig& model);

}  // namespace fathom
