#include "fathom/model/spec/halting_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/policy.h"

namespace fathom {

bool is_of_walks(HaltRule rule) {
  switch (rule) {
    case HaltRule::kStateChange:
    case HaltRule::kStepNormDiff:
    case HaltRule::kAcceleration:
    case HaltRule::kKlMinP:
    case HaltRule::kKlDiff:
    case HaltRule::kEntropy:
    case HaltRule::kLearned:
      return false;
    default:
      return true;
  }
}

bool is_of_loops(HaltRule rule) {
  switch (rule) {
    case HaltRule::kGold:
    case HaltRule::kMargin:
    case HaltRule::kLowEntropy:
    case HaltRule::kConverge:
    case HaltRule::kBernoulli:
    case HaltRule::kFixed:
      return false;
    default:
      return true;
  }
}

bool is_change(HaltRule rule) {
  switch (rule) {
    case HaltRule::kLatentChange:
    case HaltRule::kStateChange:
    case HaltRule::kStepNormDiff:
    case HaltRule::kAcceleration:
    case HaltRule::kKl:
    case HaltRule::kKlMinP:
    case HaltRule::kKlDiff:
    case HaltRule::kEntropy:
    case HaltRule::kConverge:
      return true;
    default:
      return false;
  }
}

bool keeps_states(HaltRule rule) {
  return rule == HaltRule::kLatentChange || rule == HaltRule::kConverge || rule == HaltRule::kKl;
}

bool needs_reading(HaltRule rule) {
  return rule == HaltRule::kMax || rule == HaltRule::kGold || rule == HaltRule::kBernoulli ||
         rule == HaltRule::kArgmax;
}

bool reads_out(HaltRule rule) {
  return rule == HaltRule::kMax || rule == HaltRule::kKl || rule == HaltRule::kKlMinP ||
         rule == HaltRule::kKlDiff || rule == HaltRule::kEntropy || rule == HaltRule::kArgmax;
}

double default_threshold(HaltRule rule) {
  switch (rule) {
    case HaltRule::kLatentChange:
      return 0.03;
    case HaltRule::kStateChange:
    case HaltRule::kStepNormDiff:
    case HaltRule::kAcceleration:
    case HaltRule::kConverge:
      return 0.01;
    case HaltRule::kKl:
    case HaltRule::kKlDiff:
    case HaltRule::kEntropy:
      return 1e-3;
    case HaltRule::kKlMinP:
      return 1e-5;
    case HaltRule::kArgmax:
      return 5;
    case HaltRule::kLearned:
    case HaltRule::kMargin:
    case HaltRule::kLowEntropy:
      return 0.5;
    default:
      return 0.9;
  }
}

std::string halting_sentence(HaltRule rule) {
  switch (rule) {
    case HaltRule::kMargin:
      return "its likeliest token's probability exceeds the second one's by at least the threshold";
    case HaltRule::kLowEntropy:
      return "the entropy of its next-token distribution, in nats, is at most the threshold";
    case HaltRule::kConverge:
      return "|n - n'|^2 / C, of what its head and the last one before it are given, is below the "
             "threshold";
    case HaltRule::kLatentChange:
      return "|x - x'| / |x|, of its state and that at the last readout, is below the threshold";
    case HaltRule::kKl:
      return "the divergence of its next-token distribution from the last one, in nats, is below "
             "the threshold";
    case HaltRule::kArgmax:
      return "its likeliest token has stayed for as many layers as the threshold says";
    case HaltRule::kBernoulli:
      return "a draw says so, with its largest probability, at most halt_cap";
    case HaltRule::kFixed:
      return "the layer's number is the threshold";
    case HaltRule::kGold:
    case HaltRule::kMax:
    default:
      return "its largest probability is at least the threshold";
  }
}

double HaltingConfig::probability_cap() const {
  return rule == HaltRule::kBernoulli ? cap.value_or(1) : 1;
}

KeyFate HaltingConfig::fate() const {
  switch (keys) {
    case HaltKeys::kHidden:
      return KeyFate::kHidden;
    case HaltKeys::kSeen:
      return KeyFate::kSeen;
    case HaltKeys::kFrozen:
      return KeyFate::kFrozen;
    case HaltKeys::kFilledLater:
      return KeyFate::kFilledLater;
    case HaltKeys::kOfRule:
    default:
      return rule == HaltRule::kBernoulli ? KeyFate::kSeen : KeyFate::kHidden;
  }
}

double HaltingConfig::threshold_at(size_t layer) const {
  if (!thresholds.empty()) return thresholds[std::min(layer, thresholds.size() - 1)];
  return threshold.value_or(default_threshold(rule));
}

void add_fields(FieldList& list, HaltingConfig& c) {
  const char* const kRule = "a halt_rule";
  const auto halts = [&c] { return c.rule != HaltRule::kNone; };
  const auto has_threshold = [&c] { return c.rule != HaltRule::kBernoulli; };
  const char* const kAnswers = "halt_use = answer";
  const auto answers = [&c] { return c.use == HaltUse::kAnswer; };
  const char* const kBernoulli = "halt_rule = bernoulli";
  const auto draws = [&c] { return c.rule == HaltRule::kBernoulli; };
  const char* const kHidden = "hidden keys (halt_keys)";
  const auto hides = [&c] { return c.fate() == KeyFate::kHidden; };
  list.section("halting");
  list.add<HaltRule>(
          "halt_rule", c.rule,
          "score of a token at a layer; max: largest probability, gold: the target's "
          "(in training; max elsewhere), margin: p of the likeliest token less that of the second, "
          "entropy: of its next-token distribution in nats, kl: divergence of that from the last "
          "layer's, argmax (patience): for how many layers its likeliest token has stayed, "
          "rel_latent: |x - x'| / |x| of its states, converge: |n - n'|^2 / C of its normed "
          "states, "
          "bernoulli: none, it halts with its largest probability, fixed: the layer's number. An "
          "evaluation may set it where no other weights are needed",
          {{"none", HaltRule::kNone},
           {"max", HaltRule::kMax},
           {"gold", HaltRule::kGold},
           {"margin", HaltRule::kMargin},
           {"entropy", HaltRule::kLowEntropy},
           {"converge", HaltRule::kConverge},
           {"rel_latent", HaltRule::kLatentChange},
           {"kl", HaltRule::kKl},
           {"argmax", HaltRule::kArgmax},
           {"patience", HaltRule::kArgmax},
           {"bernoulli", HaltRule::kBernoulli},
           {"fixed", HaltRule::kFixed},
           {"learned", HaltRule::kLearned}})
      .alias("confidence_mode")
      .of_policy()
      .usual();
  list.add("halt_threshold", c.threshold,
           "a token halts where its score is at least this (entropy: at most, kl, rel_latent and "
           "converge: below). None: max and gold 0.9, margin and entropy 0.5, kl 0.001, argmax 5, "
           "rel_latent 0.03, converge 0.01; fixed has to be given it: the layer that answers")
      .alias("confidence_threshold")
      .of_policy()
      .needs(kRule, halts)
      .needs("another halt_rule than bernoulli", has_threshold)
      .needs("halt_thresholds = None", [&c] { return c.thresholds.empty(); });
  list.add("halt_thresholds", c.thresholds, "one per layer; None: halt_threshold everywhere")
      .alias("confidence_thresholds")
      .of_policy()
      .needs(kRule, halts)
      .needs("another halt_rule than bernoulli", has_threshold);
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
      .needs(kRule, halts)
      .needs(kAnswers, answers);
  list.add("mask_self", c.mask_self,
           "a hidden token does not see itself either; None: true, but false for gold, whose "
           "answer would leak the label")
      .of_policy()
      .formerly_in("early_exit")
      .needs(kRule, halts)
      .needs(kAnswers, answers)
      .needs(kHidden, hides);
  list.add<HaltKeys>(
          "halt_keys", c.keys,
          "keys of a token that has halted, in the layers after; hidden: nobody sees them, seen: "
          "it is computed on, frozen: made of its state as it was, filled_later: as seen, but "
          "computed when a later token needs them. None: hidden, of bernoulli seen",
          {{"none", HaltKeys::kOfRule},
           {"hidden", HaltKeys::kHidden},
           {"seen", HaltKeys::kSeen},
           {"frozen", HaltKeys::kFrozen},
           {"filled_later", HaltKeys::kFilledLater}})
      .of_policy()
      .needs(kRule, halts)
      .needs(kAnswers, answers);
  list.add<HaltUse>("halt_use", c.use,
                    "what follows where a token halts; answer: the layer answers it, log: nothing, "
                    "who would have halted is only measured",
                    {{"answer", HaltUse::kAnswer}, {"log", HaltUse::kLog}})
      .of_policy()
      .needs(kRule, halts);
  list.add<HaltInEval>(
          "halt_in_eval", c.in_eval,
          "of bernoulli in evaluation and generation; sample: a draw at each layer, expect: all "
          "layers answer, each with the probability that a token halts there",
          {{"sample", HaltInEval::kSample}, {"expect", HaltInEval::kExpect}})
      .of_policy()
      .needs(kBernoulli, draws);
  list.add("halt_cap", c.cap,
           "most of what bernoulli halts with at a layer: later layers are asked, and learn, "
           "however sure an early one is. None: 1")
      .above(0)
      .at_most(1)
      .of_policy()
      .needs(kBernoulli, draws);
  list.add("eval_layers", c.eval_layers,
           "layers of a pass in evaluation and generation, more or fewer than were trained, of a "
           "model whose layers share their weights in a cycle; None: as trained")
      .at_least(1)
      .at_most(10000)
      .of_policy();
}

namespace {

void check_fixed(const HaltingConfig& c) {
  if (c.rule != HaltRule::kFixed) return;
  if (!c.thresholds.empty())
    misuse("halt_rule = fixed with halt_thresholds: one layer answers",
           "give --halt_threshold=N, the number of the layer, in place of the list");
  if (!c.threshold || *c.threshold < 0 || std::floor(*c.threshold) != *c.threshold)
    misuse(fmt::format("halt_rule = fixed with halt_threshold = {}: that is the number of the "
                       "layer that answers",
                       c.threshold ? fmt::format("{}", *c.threshold) : "None"),
           "for example --halt_threshold=3, which is the fourth layer");
}

// Combinations of what happens to halted tokens that have no meaning.
void check_what_follows(const HaltingConfig& c) {
  const bool hides = c.fate() == KeyFate::kHidden;
  if (c.acts() && c.mask_history == MaskHistory::kPrevious && !hides)
    misuse(fmt::format("mask_history = previous says whose keys are hidden, and {} hides none",
                       c.keys == HaltKeys::kOfRule ? "halt_rule = bernoulli" : "halt_keys"),
           "add --halt_keys=hidden, or take --mask_history=cumulative");
  if (c.in_eval != HaltInEval::kExpect || c.rule == HaltRule::kNone) return;
  if (c.rule != HaltRule::kBernoulli)
    misuse(
        "halt_in_eval = expect is of a halt_rule by which tokens halt with a probability, and "
        "halt_rule is another",
        "add --halt_rule=bernoulli, or leave halt_in_eval out");
  if (c.acts() && c.fate() != KeyFate::kSeen)
    misuse(
        "halt_in_eval = expect with halt_keys: what later tokens see would depend on the draws "
        "that nobody makes",
        "take --halt_keys=seen, or --halt_in_eval=sample");
}

}  // namespace

void validate(const HaltingConfig& c, const BackboneConfig& b) {
  if (!c.thresholds.empty() && static_cast<int64_t>(c.thresholds.size()) != b.n_layer)
    misuse(fmt::format("halt_thresholds = [{}] has {}, n_layer = {} needs {}",
                       shown_list(c.thresholds),
                       counted(static_cast<int64_t>(c.thresholds.size()), "entry", "entries"),
                       b.n_layer, b.n_layer),
           "give one per layer, or halt_thresholds=None and a halt_threshold for all");
  if (c.rule == HaltRule::kLearned)
    misuse("halt_rule = learned goes by a gate, and only loops have one",
           "make the layers a loop, for example --loop_groups=auto --loop_halt_gate=true "
           "--loop_halt_rule=learned, or take another halt_rule");
  check_fixed(c);
  check_what_follows(c);
}

void apply(const HaltingConfig& section, DepthPlan& plan, Policy& policy) {
  policy.halting.config = section;
  policy.halting.keys = section.acts() ? section.fate() : KeyFate::kHidden;
  policy.halting.history = section.mask_history;
  policy.halting.mask_self = section.mask_self.value_or(section.rule != HaltRule::kGold);
  policy.halting.asks_all = section.rule != HaltRule::kNone;
  policy.layers = section.eval_layers.value_or(0);
  if (section.rule != HaltRule::kNone) each_layer(plan, add_readout);
}

std::vector<std::string> remarks(const HaltingConfig& c) {
  std::vector<std::string> out;
  if (c.rule == HaltRule::kNone || c.rule == HaltRule::kBernoulli || c.rule == HaltRule::kFixed)
    return out;
  const FloatList all = c.thresholds.empty() ? FloatList{c.threshold_at(0)} : c.thresholds;
  const bool is_share =
      c.rule == HaltRule::kMax || c.rule == HaltRule::kGold || c.rule == HaltRule::kMargin;
  for (const double threshold : std::set<double>(all.begin(), all.end())) {
    const char* met = nullptr;
    if (is_share && threshold > 1) met = "never";
    if (is_share && threshold <= 0) met = "always";
    if (is_change(c.rule) && threshold <= 0) met = "never";
    if (c.rule == HaltRule::kLowEntropy && threshold < 0) met = "never";
    if (met != nullptr)
      out.push_back(fmt::format("a halting threshold of {} is {} met", threshold, met));
  }
  return out;
}

}  // namespace fathom
