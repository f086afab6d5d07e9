// What a walk's loops say about themselves: how often its rows went round. And what a walk that has
// left rows out of its loops lacks.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fathom/model/model.h"
#include "fathom/model/walk/walk.h"

namespace fathom {

// Rows may leave a loop before its last iteration, or enter it late: a skipping walk saves that.
bool rows_may_leave_loops(const DepthProgram& program);

// Of loops that rows may leave, over the rows with a target, by loop group g, which is called by
// `keys` (loop_group_keys() of the plan); a loop within another counts each time that a row goes
// through it:
//
//   loop_iterations/g   mean number of iterations
//   loop_exits/g.k      share that left after k iterations, k from 1 to the loop's count
//   loop_saved/g        share of the iterations that were not made, of those that would have been
//                       if nobody had left
std::map<std::string, Metric> loop_metrics(const DepthProgram& program, const Trace& trace,
                                           const Batch& batch,
                                           const std::vector<std::string>& keys);

// A skipping walk's readings of all rows, in the batch's order: where a row was not in the loop it
// was away (StepRecord::away_R), and what was read of it is 0. The walk itself does not halt.
void complete(Trace& trace, const DepthProgram& program);

}  // namespace fathom
