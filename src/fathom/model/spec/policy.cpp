#include "fathom/model/spec/policy.h"

#include <fmt/format.h>

#include "fathom/base/error.h"

namespace fathom {
namespace {

void check_loop(size_t group, const LoopPolicy& loop) {
  if (loop.count < 1)
    misuse(fmt::format("loop group {} cannot run {} times", group, loop.count),
           "a loop runs once or more");
  for (const int64_t count : loop.counts)
    if (count < 1 || count > loop.count)
      misuse(fmt::format("loop group {} cannot run {} times for a sequence and {} times for others",
                         group, count, loop.count),
             "a sequence takes from 1 to as many iterations as the loop has");
  const HaltingPolicy& h = loop.halting;
  if (h.history != MaskHistory::kCumulative)
    misuse(fmt::format("loop group {} halts rows with mask_history = previous", group),
           "a row that has left a loop comes back after it; take mask_history = cumulative");
}

}  // namespace

void check_policy(const Policy& policy) {
  if (policy.halting.history == MaskHistory::kPrevious && policy.halting.keys != KeyFate::kHidden)
    misuse("mask_history = previous says whose keys are hidden, and here they are not",
           "take mask_history = cumulative");
  for (size_t i = 0; i < policy.loops.size(); ++i) check_loop(i, policy.loops[i]);
}

}  // namespace fathom
