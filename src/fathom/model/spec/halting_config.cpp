#include "fathom/model/spec/halting_config.h"

#include <fmt/format.h>

#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/policy.h"

namespace fathom {

bool is_change(HaltRule rule) {
  switch (rule) {
    case HaltRule::kLatentChange:
    case HaltRule::kStateChange:
    case HaltRule::kStepNormDiff:
    case HaltRule::kAcceleration:
    case HaltRule::kKl:
    case HaltRule::kKlDiff:
    case HaltRule::kEntropy:
      return true;
    default:
      return false;
  }
}

bool reads_out(HaltRule rule) {
  return rule == HaltRule::kMax || rule == HaltRule::kKl || rule == HaltRule::kKlDiff ||
         rule == HaltRule::kEntropy || rule == HaltRule::kArgmax;
}

double default_threshold(HaltRule rule) {
  switch (rule) {
    case HaltRule::kLatentChange:
      return 0.03;
    case HaltRule::kStateChange:
    case HaltRule::kStepNormDiff:
    case HaltRule::kAcceleration:
      return 0.01;
    case HaltRule::kKl:
    case HaltRule::kKlDiff:
    case HaltRule::kEntropy:
      return 1e-3;
    case HaltRule::kArgmax:
      return 5;
    case HaltRule::kLearned:
      return 0.5;
    default:
      return 0.9;
  }
}

void add_fields(FieldList& list, HaltingConfig& c) {
  const char* const kRule = "halt_rule = max or gold";
  const auto halts = [&c] { return c.rule != HaltRule::kNone; };
  list.section("halting");
  list.add<HaltRule>(
          "halt_rule", c.rule,
          "score of a token at a layer; max: largest probability, gold: the target's "
          "(in training; max elsewhere)",
          {{"none", HaltRule::kNone}, {"max", HaltRule::kMax}, {"gold", HaltRule::kGold}})
      .alias("confidence_mode");
  list.add("halt_threshold", c.threshold, "a token halts where its score is at least this")
      .alias("confidence_threshold")
      .of_policy()
      .needs(kRule, halts)
      .needs("halt_thresholds = None", [&c] { return c.thresholds.empty(); });
  list.add("halt_thresholds", c.thresholds, "one per layer; None: halt_threshold everywhere")
      .alias("confidence_thresholds")
      .of_policy()
      .needs(kRule, halts);
  list.add("confidence_temperature", c.temperature,
           "divides the logits before the score is taken (calibration)")
      .above(0)
      .of_policy()
      .needs(kRule, halts);
  list.add<MaskHistory>(
          "mask_history", c.mask_history,
          "whose answer hides a token from a layer; cumulative: any earlier "
          "layer's, previous: only the last one's",
          {{"previous", MaskHistory::kPrevious}, {"cumulative", MaskHistory::kCumulative}})
      .of_policy()
      .formerly_in("early_exit")
      .needs(kRule, halts);
  list.add("mask_self", c.mask_self,
           "a hidden token does not see itself either; None: true, but false for gold, whose "
           "answer would leak the label")
      .of_policy()
      .formerly_in("early_exit")
      .needs(kRule, halts);
}

void validate(const HaltingConfig& c, const BackboneConfig& b) {
  if (!c.thresholds.empty() && static_cast<int64_t>(c.thresholds.size()) != b.n_layer)
    misuse(fmt::format("halt_thresholds = [{}] has {} entries, n_layer = {} needs {}",
                       shown_list(c.thresholds), c.thresholds.size(), b.n_layer, b.n_layer),
           "give one per layer, or halt_thresholds=None and a halt_threshold for all");
}

void apply(const HaltingConfig& section, DepthPlan& plan, Policy& policy) {
  policy.halting.config = section;
  policy.halting.history = section.mask_history;
  policy.halting.mask_self = section.mask_self.value_or(section.rule != HaltRule::kGold);
  if (section.rule != HaltRule::kNone) each_layer(plan, add_readout);
}

std::vector<std::string> remarks(const HaltingConfig& c) {
  std::vector<std::string> out;
  if (c.rule == HaltRule::kNone) return out;
  const FloatList all = c.thresholds.empty() ? FloatList{c.threshold} : c.thresholds;
  for (const double threshold : std::set<double>(all.begin(), all.end())) {
    if (threshold > 1)
      out.push_back(fmt::format("a halting threshold of {} is never met", threshold));
    if (threshold <= 0)
      out.push_back(fmt::format("a halting threshold of {} is always met", threshold));
  }
  return out;
}

}  // namespace fathom
