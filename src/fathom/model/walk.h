// The depth walk: what every token experiences, in training, evaluation, generation and analysis.
//
//   stem -> [ injection -> block -> readout -> halting ] * steps
//
// R rows, B sequences, T positions.
#pragma once

#include <memory>
#include <vector>

#include "fathom/model/attention_cache.h"
#include "fathom/model/block.h"
#include "fathom/model/halting.h"
#include "fathom/model/injection.h"

namespace fathom {

// The gradient that readings will be sent if the objective is known before the walk: it is cheaper
// to compute with the reading than after it (ReadoutRequest::expected_R).
struct ExpectedGradient {
  Tensor of_ln_p_R;          // but for one factor a layer; undefined: not known
  std::vector<bool> layers;  // those that are sent it, by ReadoutSpec::layer
};

struct WalkOptions {
  bool training = false;     // dropout acts, and gold scores look at targets
  bool skip = false;         // rows that have halted are computed no further
  bool read = true;          // false: no readings, unless halting needs them
  bool keep_doors = false;   // for segments
  bool keep_states = false;  // StepRecord::n_RC
  bool grad_of_max = false;  // Reading::ln_max_R is in the graph
  // Activations of blocks are computed again by the backward pass, for which the walk must live on.
  bool recompute_blocks = false;
  ExpectedGradient expected;
  RandomField random{0, 0, 0};
  // What the rows' sequences had before, which they see and add to; null: nothing, and all rows are
  // there. No training, and no gradients.
  AttentionCache* cache = nullptr;
  // Decisions (B, T) bool per readout in place of the scores'; null: none.
  const std::vector<Tensor>* replay = nullptr;
};

// What was seen at one step. Its rows are those that were still in the walk.
struct StepRecord {
  int step = 0;  // of the program
  std::shared_ptr<const Rows> rows;
  int readout = -1;  // number of the readout among the walk's; -1: the step has none
  int layer = -1;    // ReadoutSpec::layer
  Tensor hidden_R;   // keys that the step's attention did not see; undefined: none
  Tensor done_R;     // bool: the row had halted at an earlier step; undefined: none had
  Carry door;        // at the step's door, before injections; empty unless kept
  Tensor n_RC;       // what the head was given; undefined unless kept
  Reading reading;
  HaltDecision decision;  // undefined tensors without a halting rule
};

struct Trace {
  std::shared_ptr<const Rows> all;  // every row of the batch
  std::vector<StepRecord> steps;    // fewer than the program's where every row has left
  Carry end;                        // after the last step

  // The records that have a readout, in order. They are this trace's: a temporary one has none.
  std::vector<const StepRecord*> readouts() const&;
  std::vector<const StepRecord*> readouts() && = delete;
};

// Part of a walk once more, with the masks that the whole walk decided.
struct Segment {
  size_t first = 0, last = 0;  // steps [first, last)
  bool live_carry = true;      // false: no gradient into the carry it starts from
  bool live_params = true;     // false: no gradient into the weights it uses
};

class DepthWalk {
 public:
  // `functions`: those that the plan's wirings call, no more and no fewer.
  DepthWalk(DepthPlan plan, const BackboneConfig& backbone, Params params,
            RowFunctions functions = {});

  Trace run(const DepthProgram& program, const Batch& batch, const WalkOptions& options) const;
  // `targets_R`: of the rows, -1 for none; undefined: none at all.
  Trace run(const DepthProgram& program, std::shared_ptr<const Rows> rows, const Tensor& targets_R,
            const WalkOptions& options) const;

  // Steps of a dense `trace` again, from `start`.
  Carry segment(const DepthProgram& program, const Trace& trace, const Segment& segment,
                const Carry& start, const WalkOptions& options) const;
  // The reading of a carry by the step's readout.
  Reading read(const StepSpec& step, const Carry& carry, const ReadoutRequest& request,
               bool live_params = true) const;

  const DepthPlan& plan() const { return plan_; }
  const Params& params() const { return params_; }

 private:
  class Shared;
  Carry stem(const Rows& rows, const WalkOptions& options) const;
  Carry step(const StepSpec& step, const Params& params, const std::shared_ptr<const Rows>& rows,
             Carry carry, const Tensor& hidden_R, const WalkOptions& options, Shared& shared) const;
  Carry block(const StepSpec& step, const Params& params, const Rows& rows, Carry carry,
              AttentionContext& attention, const WalkOptions& options, Shared& shared) const;
  void read_out(const StepSpec& spec, const Carry& carry, const Tensor& targets_R,
                const WalkOptions& options, Shared& shared, StepRecord& record) const;
  DropoutSource dropout(const Rows& rows, double p, const WalkOptions& options) const;

  DepthPlan plan_;
  BackboneConfig backbone_;
  Params params_;
  BlockSettings settings_;
  RowFunctions functions_;
  bool keep_y_ = false;
};

}  // namespace fathom
