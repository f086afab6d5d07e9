// Where the loops of a model take the tokens of a text, whether they settle, and how far the place
// depends on where they began.
//
// T positions, C channels, V vocabulary, K iterations.
#pragma once

#include <vector>

#include "fathom/study/loop_walk.h"
#include "fathom/study/loops/loop_facts.h"

namespace fathom {

// Of one text: every group's states (the input, and after each iteration; of a nested group all its
// loops one behind the other), how they change, and the same of the whole walk.
TextLoops loops_of_text(const LoopWalk& walk, const LoopTrack& track);

// Mean over tokens of KL(p(after) || p(before)), nats.
double kl_drift(const Tensor& ln_p_after_TV, const Tensor& ln_p_before_TV);

// The same walk, of `count` iterations, from `seeds` draws of the first states.
LoopSpread spread_of(const LoopWalk& walk, const std::vector<int64_t>& tokens, int64_t count,
                     int64_t seeds);

}  // namespace fathom
