// What ranks that train one model settle between them, besides gradients (parallel/gradient_sum.h).
// All of them call each of these.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "fathom/model/walk/parameters.h"
#include "fathom/parallel/ranks.h"
#include "fathom/train/loss_parts.h"
#include "fathom/train/optimizer.h"
#include "fathom/train/recipe/rank_settings.h"
#include "fathom/train/recipe/stage.h"

namespace fathom {

// What must be the same on all ranks, by the name under which a user knows it, the more telling
// first.
using Agreement = std::vector<std::pair<std::string, std::string>>;
// Settings and configurations of all stages, by key, the program, its instruction set.
Agreement agreement_of(const RunPlan& plan, const RankSettings& settings);
// Their values, bit for bit.
std::string hash_of(const ParameterSet& parameters);
// Throws Error(kUsage) on every rank where one differs from rank 0: it names the first that does,
// by rank and by what differs.
void require_alike(Ranks& ranks, const Agreement& own);

// Of all passes of the step, on whichever rank they are.
void sum_over(Ranks& ranks, StepSums& sums);

// Of an optimiser that keeps a part on each rank (Optimizer::shard): parameters that were updated
// elsewhere become what they are there, bit for bit.
void send_weights(Ranks& ranks, const Optimizer& optimizer);
// And what each of them keeps, in one place: on rank 0; elsewhere its own part alone.
std::vector<Optimizer::State> whole_state(Ranks& ranks, const Optimizer& optimizer);

}  // namespace fathom
