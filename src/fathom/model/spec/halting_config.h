// When a token has been computed far enough: a score, a threshold, and what follows from it.
#pragma once

#include <optional>

#include "fathom/config/fields.h"
#include "fathom/model/spec/backbone_config.h"

namespace fathom {

struct DepthPlan;
struct Policy;

enum class HaltRule {
  kNone,
  kMax,   // score = largest next-token probability
  kGold,  // score = probability of the target, in training passes; kMax elsewhere
  // In loops: score = |x - x of the iteration before| / |x|, and a row halts where it is below the
  // threshold (Geiping et al. 2025).
  kLatentChange,
};

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
