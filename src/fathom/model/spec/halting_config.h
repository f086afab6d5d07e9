// When a token has been computed far enough: a score, a threshold, and what follows from it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/model/spec/backbone_config.h"

namespace fathom {

struct DepthPlan;
struct Policy;

// A walk goes by those of is_of_walks(), a loop by those of is_of_loops().
enum class HaltRule {
  kNone,
  kMax,   // score = largest next-token probability
  kGold,  // score = probability of the target, in training passes; kMax elsewhere
  // Changes of the state over a loop's iteration k: u_k is what the loop's input gave, x_{k+1} what
  // came out. A row halts where score < threshold, from the second iteration on. In a walk x_{k+1}
  // is the stream at a readout, and x_k that at the last one at which the row was there.
  kLatentChange,  // |x_{k+1} - x_k| / |x_{k+1}| (Geiping et al. 2025)
  kStateChange,   // d_k = |x_{k+1} - u_k|
  kStepNormDiff,  // |d_k - d_{k-1}|: also where it turns in circles, or moves at one speed
  kAcceleration,  // |s_k - s_{k-1}|, s_k = x_{k+1} - u_k
  // Changes of the next-token distribution p, likewise (kKl and kEntropy: Geiping et al. 2025).
  kKl,       // KL(p(x_{k+1}) | p(x_k))
  kKlMinP,   // the same of what min-p leaves of both (divergences_min_p)
  kKlDiff,   // |q_k - q_{k-1}|, q_k = KL(p(x_{k+1}) | p(u_k))
  kEntropy,  // |H_k - H_{k-1}|, H_k the entropy of p(x_{k+1})
  kArgmax,   // for how many iterations in a row its likeliest token has stayed; >= threshold
  kLearned,  // the sigmoid of the loop's own gate on x_{k+1} (halting_gate.h); >= threshold
  // Of walks alone.
  kMargin,      // p of the likeliest token less that of the second one
  kLowEntropy,  // H of p in nats; a row halts where H <= threshold (Teerapittayanon et al. 2016)
  kConverge,    // |n_k - n_{k-1}|^2 / C of what the heads are given; a change, < threshold
  kBernoulli,   // the largest probability, at most halt_cap: a row halts with it, by a draw
  kFixed,       // the layer's number
};

// What decides together. A sequence's score is the mean over its tokens (of a difference, the
// difference of means), and it halts as a whole: not causal, so it is for evaluation alone.
enum class HaltUnit { kToken, kSequence };

bool is_of_walks(HaltRule rule);
bool is_of_loops(HaltRule rule);
// Who halts has a score below the threshold; a threshold of 0 never halts.
bool is_change(HaltRule rule);
// In a walk its score is made of the stream's, or the heads', last state too: readouts are of one
// width.
bool keeps_states(HaltRule rule);
// In a walk its score comes from the step's reading: a largest probability, or a prediction.
bool needs_reading(HaltRule rule);
// Its score is made of next-token distributions.
bool reads_out(HaltRule rule);
// Where none is given; of kFixed there is none, of kBernoulli nobody asks.
double default_threshold(HaltRule rule);
// What a walk's rule compares with what, to complete "a token halts at a layer where ...".
std::string halting_sentence(HaltRule rule);

// Which layer answers, where several can: the first at which the token halts, or the last.
enum class Exit { kFirstConfident, kLast };

// Whose answers hide a token's key from layer l.
enum class MaskHistory {
  kPrevious,    // that of layer l - 1 alone: a token may come back
  kCumulative,  // that of any layer before l: what has been answered is computed no further
};

// What becomes of the keys of a row that has halted, in the steps that it does not take part in.
enum class KeyFate {
  kHidden,  // nobody sees them: early exit
  kSeen,    // the row is computed on, and only its answer is settled
  kFrozen,  // they are made of its state as it was when it halted: CALM, a loop that has settled
  kFilledLater,  // as kSeen, but computed when a row that goes on needs them: draft and verify
};
enum class HaltKeys { kOfRule, kHidden, kSeen, kFrozen, kFilledLater };

enum class HaltUse {
  kAnswer,  // who halts has answered
  kLog,     // nothing follows: answers, losses and keys are those of a walk without a rule
};

// kBernoulli where nobody trains.
enum class HaltInEval {
  kSample,
  // Nobody halts. Layer i answers with the share pi_i = p_i prod_{j < i} (1 - p_j), the last one
  // with what is left: sums over layers of pi_i times what each would have cost, or said.
  kExpect,
};

// A token halts at a layer where score >= threshold, or as its rule says.
struct HaltingConfig {
  HaltRule rule = HaltRule::kNone;
  std::optional<double> threshold;  // unset: the rule's own
  FloatList thresholds;             // one per layer; empty: `threshold` everywhere
  double temperature = 1;           // divides the logits before the score is taken
  MaskHistory mask_history = MaskHistory::kCumulative;
  std::optional<bool> mask_self;  // unset: true, but false for kGold
  HaltKeys keys = HaltKeys::kOfRule;
  HaltUse use = HaltUse::kAnswer;
  HaltInEval in_eval = HaltInEval::kSample;
  std::optional<double> cap;           // of kBernoulli's probability
  std::optional<int64_t> eval_layers;  // steps of a pass that nobody trains; unset: the plan's

  // Rows really halt by it.
  bool acts() const { return rule != HaltRule::kNone && use == HaltUse::kAnswer; }
  bool expects() const { return rule == HaltRule::kBernoulli && in_eval == HaltInEval::kExpect; }
  // The largest probability by which a row halts at a layer.
  double probability_cap() const;
  KeyFate fate() const;
  // Of layers beyond a list the last one's.
  double threshold_at(size_t layer) const;
};

void add_fields(FieldList& list, HaltingConfig& config);
void validate(const HaltingConfig& config, const BackboneConfig& backbone);
// With a rule every layer answers, for each may be asked.
void apply(const HaltingConfig& section, DepthPlan& plan, Policy& policy);
// A sentence for each threshold that always or never halts.
std::vector<std::string> remarks(const HaltingConfig& config);

}  // namespace fathom
