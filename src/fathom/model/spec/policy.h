// What one pass does with a plan. None of it shapes weights: a policy is given with each pass, and
// another threshold or count needs no other model. Torch-free.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "fathom/model/spec/early_exit_config.h"
#include "fathom/model/spec/halting_config.h"
#include "fathom/model/spec/injection.h"
#include "fathom/model/spec/loop_sampler.h"
#include "fathom/model/spec/own_settings.h"

namespace fathom {

struct ModelConfig;

// Which rows halt, and what follows. In the walk a row halts at a readout, for good; in a loop at
// the end of an iteration, and goes on after the loop.
struct HaltingPolicy {
  HaltingConfig config;
  KeyFate keys = KeyFate::kHidden;
  // Of the walk's kHidden alone.
  MaskHistory history = MaskHistory::kCumulative;
  bool mask_self = true;  // a hidden row does not see its own key either
  // Of loops alone. A sequence's needs to know all of it: not in a cache, not for a next token.
  HaltUnit unit = HaltUnit::kToken;
  bool in_training = true;  // false: the rule rests in training passes
  // Of the walk: layers that the plan gives no readout, for its weights need none, are asked by the
  // last one's.
  bool asks_all = false;

  bool halts() const { return config.acts(); }
  // Nothing follows from what is decided: StepRecord::logged.
  bool logs() const { return config.rule != HaltRule::kNone && config.use == HaltUse::kLog; }
  // All layers answer, by shares, in a pass that nobody trains.
  bool expects(bool training) const { return config.expects() && !training; }
};

struct LoopPolicy {
  int64_t count = 1;  // iterations
  // Of each sequence of the batch, from 1 to `count`; empty: `count`. A sequence with fewer enters
  // later, so that all take the last iteration together; one that goes round once has noise and
  // adapter as the others.
  std::vector<int64_t> counts;
  // Of `counts` in training passes, in place of both; kFixed: none.
  LoopSampler sampler = {};
  bool sampled_by_sequence = false;  // a draw for each sequence; false: for the step
  // The sampler's counts in passes that nobody trains as well, of each sequence by itself.
  bool sampled_in_eval = false;
  // What happens at the door, adapter, norms and signals, does so in a loop of one iteration too.
  bool single_pass_adapter = true;
  double noise = 0;  // standard deviation of the first iteration's state
  NoiseInEval noise_in_eval = NoiseInEval::kSame;
  int64_t backprop_depth = 0;  // last iterations with a gradient; 0: all
  // Iterations whose keys a cache keeps: iteration i has the place of iteration i modulo this
  // one's. 0: all of them.
  int64_t cached_iterations = 0;
  HaltingPolicy halting;
  // In training passes each row leaves the loop with this probability after an iteration, if it has
  // not before: stochastic stopping.
  double stop_probability = 0;
  double gate_entropy = 0;  // weight of the entropy in the objective of the loop's halting gate

  bool draws(bool training) const { return sampler.draws() && (training || sampled_in_eval); }
};

struct Policy {
  HaltingPolicy halting;          // of the walk
  std::vector<LoopPolicy> loops;  // by loop group, in the order of their first layers; missing: one
                                  // iteration
  // Layers of the pass, of a plan whose layers share their weights in a cycle, which goes on or is
  // cut off (layer_cycle.h); 0: the plan's. Training passes have the plan's.
  int64_t layers = 0;
  // The experiment's own settings, which its functions and losses read of the pass: those that are
  // of_policy() may differ from pass to pass, the others are the model's in every one.
  OwnSettings own = {};
};

// Of a training pass: without what only passes that nobody trains have.
Policy as_trained(Policy policy);

// Some count is drawn in passes that are, or are not, of training.
bool draws_counts(const Policy& policy, bool training);
// Numbers of a loop group's draw: for a sequence of the pass, or (-1) for the whole optimiser step.
using LoopNumbers = std::function<RandomStream(size_t group, int64_t sequence)>;
// The policy of a pass of B sequences.
Policy with_drawn_counts(Policy policy, int64_t B, const LoopNumbers& numbers,
                         bool training = true);
// Throws Error(kUsage) where counts are drawn in passes that nobody trains, for what shows one
// pass.
void refuse_draws(const Policy& policy);
// Throws Error(kUsage) where a loop halts by whole sequences, or draws a count for each: a text
// that grows has none.
void refuse_sequences(const Policy& policy);

// Of the sections, as make_depth_plan().
Policy make_policy(const ModelConfig& config);

}  // namespace fathom
