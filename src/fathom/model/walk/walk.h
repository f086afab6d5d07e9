// The depth walk: what every token experiences, in training, evaluation, generation and analysis.
//
//   stem -> [ injection -> block -> readout -> halting ] * steps
//
// R rows, B sequences, T positions.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fathom/model/spec/readout_uses.h"
#include "fathom/model/walk/block.h"
#include "fathom/model/walk/halting.h"
#include "fathom/model/walk/injection.h"
#include "fathom/model/walk/observer.h"
#include "fathom/model/walk/state.h"
#include "fathom/model/walk/walk_cache.h"

namespace fathom {

struct StepRecord;
struct Trace;
// ReadoutRequest::weight_R for a step that is about to be read, of what its record says by then,
// rows, layer and done_R, and the records of the steps before. Undefined: the objective cannot say.
using RowWeights = std::function<Tensor(const StepRecord& record, const Trace& so_far)>;

struct WalkOptions {
  bool training = false;         // dropout acts, and gold scores look at targets
  bool skip = false;             // rows that have halted are computed no further
  bool read = true;              // false: no readings, unless halting needs them
  Observer observe;              // null: nobody looks
  bool grad_of_max = false;      // Reading::ln_max_R is in the graph
  std::vector<ReadoutUse> uses;  // by number of the readout; empty: all of them teach
  // Activations of blocks are computed again by the backward pass, for which the walk must live on.
  bool recompute_blocks = false;
  // But not of blocks with an experiment's functions, so that what these record is in the graph.
  bool keep_functions = false;
  RowWeights row_weights;  // null: nobody knows any
  bool cut = true;         // false: LayerSpec::cut and cut_later do not act
  RandomField random{0, 0, 0};
  // Null: nothing was before, and all rows are there. Else no training, and no gradients.
  WalkCache* cache = nullptr;
  // Decisions (B, T) bool in place of the scores': by number of the readout, and of the iteration's
  // end (LoopEnd::number); null: none.
  const std::vector<Tensor>* replay = nullptr;
  const std::vector<Tensor>* replay_loops = nullptr;
  // Decisions are those of this dense walk of the same rows; null: they are made.
  const Trace* follow = nullptr;
  std::shared_ptr<const Params> params;  // frozen ones; null: the walk's own
};

// What was seen at one step. Its rows are those that were still in the walk.
struct StepRecord {
  int step = 0;  // of the program
  std::shared_ptr<const Rows> rows;
  int readout = -1;       // number of the readout among the program's; -1: nobody read the step
  int layer = -1;         // ReadoutSpec::layer
  Tensor hidden_R;        // keys that the step's attention did not see; undefined: none
  Tensor done_R;          // bool: the row had halted at an earlier readout; undefined: none had
  Tensor away_R;          // bool: the row was not in a loop that is open; undefined: all were
  int64_t computed = 0;   // rows that went through the block
  int64_t keys_only = 0;  // others, of which keys and values were made and nothing else
  int64_t read = 0;       // rows whose scores were made
  bool taught = true;     // false: the objective learns nothing from them
  int64_t judged = 0;     // states of which a rule made scores besides
  double met = 0;         // pairs of a row that was computed and a key that was there for it
  Reading reading;
  HaltDecision decision;  // undefined tensors without a halting rule
  HaltDecision logged;    // of a rule that is only logged (HaltingPolicy::logs)
};

// What was decided at the end of an iteration.
struct LoopRecord {
  int step = 0;
  LoopPlace place;
  std::shared_ptr<const Rows> rows;
  HaltDecision decision;
};

// A loop's iteration is over: of loops that rows may leave.
struct IterationRecord {
  LoopPlace place;
  bool closes = false;
  std::shared_ptr<const Rows> rows;
  Tensor in_R;  // bool: the row took part; undefined: all of them did
};

struct Trace {
  std::shared_ptr<const Rows> all;  // every row of the batch
  std::vector<StepRecord> steps;    // fewer than the program's where every row has left
  std::vector<LoopRecord> loop_ends;
  std::vector<IterationRecord> iterations;  // in the order in which they ended
  Carry end;                                // after the last step

  // The records of steps that were read, in order. They are this trace's: a temporary one has none.
  std::vector<const StepRecord*> readouts() const&;
  std::vector<const StepRecord*> readouts() && = delete;
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

  // Before the first step.
  WalkState begin(std::shared_ptr<const Rows> rows, const WalkOptions& options) const;
  // Steps from state.next to before `last`, of which `trace` (null: nobody wants it) gets a record
  // each. The state may be one that a walk has passed, with another carry or fewer rows, or one
  // that was put together: rows that enter at any step.
  void advance(const DepthProgram& program, WalkState& state, size_t last, const Tensor& targets_R,
               const WalkOptions& options, Trace* trace) const;
  // The reading of a carry by the step's readout.
  Reading read(const StepSpec& step, const Carry& carry, const ReadoutRequest& request,
               const Params& params) const;

  const DepthPlan& plan() const { return plan_; }
  const BackboneConfig& backbone() const { return backbone_; }
  const Params& params() const { return params_; }
  const BlockSettings& settings() const { return settings_; }
  // The same weights without gradient.
  const std::shared_ptr<const Params>& frozen_params() const { return frozen_params_; }

 private:
  friend class Advance;
  Carry stem(const Rows& rows, const WalkOptions& options) const;
  DropoutSource dropout(const Rows& rows, double p, const WalkOptions& options) const;

  DepthPlan plan_;
  BackboneConfig backbone_;
  Params params_;
  std::shared_ptr<const Params> frozen_params_;
  std::vector<WiringParts> parts_;  // of each wiring
  BlockSettings settings_;
  RowFunctions functions_;
  bool keep_y_ = false;
};

}  // namespace fathom
