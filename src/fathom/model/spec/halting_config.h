// When a token has been computed far enough: a score, a threshold, and what follows from it.
#pragma once

#include <optional>

#include "fathom/config/fields.h"
#include "fathom/model/spec/backbone_config.h"

namespace fathom {

struct DepthPlan;
struct Policy;

// A walk goes by the first three, a loop by all but kGold.
enum class HaltRule {
  kNone,
  kMax,   // score = largest next-token probability
  kGold,  // score = probability of the target, in training passes; kMax elsewhere
  // Changes of the state over a loop's iteration k: u_k is what the loop's input gave, x_{k+1} what
  // came out. A row halts where score < threshold, from the second iteration on.
  kLatentChange,  // |x_{k+1} - x_k| / |x_{k+1}| (Geiping et al. 2025)
  kStateChange,   // d_k = |x_{k+1} - u_k|
  kStepNormDiff,  // |d_k - d_{k-1}|: also where it turns in circles, or moves at one speed
  kAcceleration,  // |s_k - s_{k-1}|, s_k = x_{k+1} - u_k
  // Changes of the next-token distribution p, likewise (kKl and kEntropy: Geiping et al. 2025).
  kKl,       // KL(p(x_{k+1}) | p(x_k))
  kKlDiff,   // |q_k - q_{k-1}|, q_k = KL(p(x_{k+1}) | p(u_k))
  kEntropy,  // |H_k - H_{k-1}|, H_k the entropy of p(x_{k+1})
  kArgmax,   // for how many iterations in a row its likeliest token has stayed; >= threshold
  kLearned,  // the sigmoid of the loop's own gate on x_{k+1} (halting_gate.h); >= threshold
};

// What decides together. A sequence's score is the mean over its tokens (of a difference, the
// difference of means), and it halts as a whole: not causal, so it is for evaluation alone.
enum class HaltUnit { kToken, kSequence };

// Who halts has a score below the threshold; a threshold of 0 never halts.
bool is_change(HaltRule rule);
// Its score is made of next-token distributions.
bool reads_out(HaltRule rule);
// Of a rule of loops.
double default_threshold(HaltRule rule);

// Which layer answers, where several can: the first at which the token halts, or the last.
enum class Exit { kFirstConfident, kLast };

// Whose answers hide a token's key from layer l.
enum class MaskHistory {
  kPrevious,    // that of layer l - 1 alone: a token may come back
  kCumulative,  // that of any layer before l: what has been answered is computed no further
};

// A token halts at a layer where score >= threshold.
struct HaltingConfig {
  HaltRule rule = HaltRule::kNone;
  double threshold = 0.9;
  FloatList thresholds;    // one per layer; empty: `threshold` everywhere
  double temperature = 1;  // divides the logits before the score is taken
  MaskHistory mask_history = MaskHistory::kCumulative;
  std::optional<bool> mask_self;  // unset: true, but false for kGold

  double threshold_at(size_t layer) const {
    return thresholds.empty() ? threshold : thresholds.at(layer);
  }
};

void add_fields(FieldList& list, HaltingConfig& config);
void validate(const HaltingConfig& config, const BackboneConfig& backbone);
// With a rule every layer answers, for each may be asked.
void apply(const HaltingConfig& section, DepthPlan& plan, Policy& policy);
// A sentence for each threshold that always or never halts.
std::vector<std::string> remarks(const HaltingConfig& config);

}  // namespace fathom
