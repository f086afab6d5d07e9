// The steps of a walk.
//
// A dense walk keeps every row in its tensors, and masks say who has halted, who is in a loop, and
// whose keys are seen. A skipping walk has the same masks, and takes rows out as soon as nobody
// needs them: one rule, seen twice.
#pragma once

#include <map>
#include <string_view>

#include "fathom/model/walk/shared_norms.h"
#include "fathom/model/walk/walk.h"

namespace fathom {

class Advance {
 public:
  Advance(const DepthWalk& walk, const DepthProgram& program, WalkState& state,
          const Tensor& targets_R, const WalkOptions& options, Trace* trace);
  // To before the step `last`.
  void run(size_t last);

 private:
  class Block;
  Carry& carry() { return state_.travel.carry; }
  bool nobody() const { return state_.rows->count() == 0; }
  KeyFate fate(const LoopFrame& loop) const { return program_.loop_halting(loop.group).keys; }

  void step(const StepSpec& spec);
  void pass_door(const StepSpec& spec);
  void open_loop(const StepSpec& spec, const Injection& open);
  void enter_late(const Injection& input);
  Tensor own_iterations(const LoopPlace& place) const;
  Tensor newcomers(const StepSpec& spec) const;
  int64_t first_iteration(int group, size_t sequence) const;
  // step_block.cpp
  void block(const StepSpec& spec, StepRecord& record);
  void block_of_some(const StepSpec& spec, const Tensor& still_R, StepRecord& record);
  double pairs(const StepSpec& spec, const Rows& rows, const Rows* beside) const;
  Tensor still() const;
  void stand_still();
  bool keys_go_ahead(const StepSpec& spec);
  std::vector<int> later_slots(const StepSpec& spec) const;
  ReadoutUse use_of(const StepSpec& spec) const;
  void read_out(const StepSpec& spec, StepRecord& record);
  Reading reading(const StepSpec& spec, StepRecord& record, const Tensor& n_RC,
                  const Tensor& settled_R) const;
  void halt(const StepSpec& spec, const Tensor& halts_R);
  // deciding.cpp
  HaltDecision decide_at(const StepSpec& spec, StepRecord& record, const Tensor& n_RC,
                         const Tensor& settled_R);
  HaltDecision decide_by_memory(const StepSpec& spec, StepRecord& record, const Tensor& n_RC,
                                const Tensor& settled_R);
  // loop_end.cpp
  void end_iteration(const StepSpec& spec, size_t i);
  bool may_halt(const HaltingPolicy& halting) const;
  void remember_input();
  Tensor decide_end(const StepSpec& spec, const LoopEnd& end, LoopFrame& frame);
  HaltDecision judge(const LoopEnd& end, LoopFrame& frame);
  void halt_at_end(const StepSpec& spec, size_t i, const Tensor& halts_R);
  void close(const LoopFrame& frame);
  void show(const StepSpec& spec, std::string_view name, const Tensor& x, const Rows& rows) const;
  Tensor of_rows(const Tensor& x_BT) const;
  Tensor hidden() const;
  Tensor away() const;

  // leaving.cpp: who is taken out of a skipping walk, and comes back.
  static Place place_of_end(const StepSpec& spec, size_t end);
  bool join(const Place& place);
  // `ahead_R`: whose keys are known to all later iterations of the innermost loop; undefined: none.
  void leave_out(const StepSpec& spec, const Place& now, const Tensor& ahead_R = {});
  class Standing;
  // How a row leaves: for good, or until a loop (its number among the open ones) is over or
  // entered.
  enum How { kStays, kOver, kUntilClosed, kUntilEntry };
  struct Leaves {
    How how;
    size_t loop;
  };
  struct Need {
    Tensor stays_R;              // bool, on the processor: somebody needs the row's state or keys
    std::vector<Leaves> leaves;  // of the others, in their order
  };
  Need need(const Tensor& ahead_R) const;
  void put_aside(const WaitingRows& gone, const Tensor& which_R, const Place& until, bool over,
                 size_t loop);
  Place close_of(const StepSpec& spec, size_t frame) const;
  Place entry_of(const StepSpec& spec, size_t frame, int64_t iteration) const;

  const DepthWalk& walk_;
  const DepthProgram& program_;
  WalkState& state_;
  const Tensor& targets_R_;
  const WalkOptions& options_;
  Trace* trace_;
  const Params& params_;
  const HaltingPolicy& halting_;  // of the walk
  SharedNorms norms_;
  std::map<int, int> taught_;      // readouts of the program that teach, by head
  std::map<int, bool> same_keys_;  // loops, by group, whose later iterations have the same doors
  // Of the step, if it has a readout, as long as its rows are as they were read.
  Reading last_reading_;
  std::shared_ptr<const Rows> read_rows_;
};

}  // namespace fathom
