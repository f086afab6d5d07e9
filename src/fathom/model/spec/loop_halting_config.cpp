#include "fathom/model/spec/loop_halting_config.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/policy.h"

namespace fathom {
namespace {

using Names = std::vector<std::pair<std::string, HaltRule>>;

const Names& rule_names() {
  static const Names names = {{"none", HaltRule::kNone},
                              {"rel_latent", HaltRule::kLatentChange},
                              {"state_change", HaltRule::kStateChange},
                              {"step_norm_diff", HaltRule::kStepNormDiff},
                              {"acceleration", HaltRule::kAcceleration},
                              {"kl", HaltRule::kKl},
                              {"kl_min_p", HaltRule::kKlMinP},
                              {"kl_diff", HaltRule::kKlDiff},
                              {"kl_div_diff", HaltRule::kKlDiff},
                              {"entropy", HaltRule::kEntropy},
                              {"argmax", HaltRule::kArgmax},
                              {"max", HaltRule::kMax},
                              {"learned", HaltRule::kLearned}};
  return names;
}

std::string name_of(HaltRule rule) {
  for (const auto& [name, value] : rule_names())
    if (value == rule) return name;
  return "";
}

// f(group) of each in the plan's order, an outer one before those in it.
void each_group(std::vector<PlanNode>& nodes, const std::function<void(LoopGroup&)>& f) {
  for (PlanNode& node : nodes) {
    auto* const group = std::get_if<LoopGroup>(&node.node);
    if (group == nullptr) continue;
    f(*group);
    each_group(group->body, f);
  }
}

// The key that asks for a loop.
std::string key_for_loops(const LoopHaltingConfig& c) {
  if (c.rule != HaltRule::kNone && c.acting_rule() != HaltRule::kNone)
    return "loop_halt_rule = " + name_of(c.rule);
  if (c.acting_rule() != HaltRule::kNone) return "automatic_loop_exit = true";
  if (c.gate) return "loop_halt_gate = true";
  if (c.stop_probability > 0) return fmt::format("loop_stop_probability = {}", c.stop_probability);
  return fmt::format("loop_cache = {}", c.cache);
}

}  // namespace

HaltRule LoopHaltingConfig::acting_rule() const {
  if (!automatic) return rule;
  if (!*automatic) return HaltRule::kNone;
  return rule == HaltRule::kNone ? HaltRule::kLatentChange : rule;
}

bool LoopHaltingConfig::is_off() const {
  return acting_rule() == HaltRule::kNone && cache == 0 && !gate && stop_probability == 0;
}

void add_fields(FieldList& list, LoopHaltingConfig& c) {
  const char* const kRule = "a loop_halt_rule that acts (automatic_loop_exit)";
  const auto halts = [&c] { return c.acting_rule() != HaltRule::kNone; };
  list.section("looping");
  list.add<HaltRule>("loop_halt_rule", c.rule,
                     "when a token leaves a loop, in evaluation and generation, by the change over "
                     "an iteration, of its state (rel_latent, state_change, step_norm_diff, "
                     "acceleration) or of its next-token scores (kl, kl_min_p, kl_diff, entropy, "
                     "argmax), by its largest probability, or by a gate of the loop's own "
                     "(learned); kl_min_p: kl where tokens below a tenth of the likeliest one's "
                     "probability count alike",
                     rule_names())
      .alias("automatic_loop_exit_mode")
      .of_policy()
      .needs("automatic_loop_exit = None or true", [&c] { return c.automatic.value_or(true); });
  list.add("automatic_loop_exit", c.automatic,
           "true: by rel_latent if no rule is given, false: by none; None: loop_halt_rule says it")
      .of_policy();
  list.add("loop_halt_threshold", c.threshold,
           "of all loop groups, or one for each in the order of loop_groups; a token leaves where "
           "a change is below it (0: "
           "never), another score at least it; argmax: iterations that the likeliest token has "
           "stayed. None: rel_latent 0.03, state_change, step_norm_diff and acceleration 0.01, kl, "
           "kl_diff and entropy 0.001, kl_min_p 0.00001, argmax 5, max 0.9, learned 0.5")
      .alias("automatic_loop_exit_threshold")
      .at_least(0)
      .of_policy()
      .needs(kRule, halts);
  list.add<HaltUnit>("loop_halt_unit", c.unit,
                     "what leaves a loop at once; sequence: all of its tokens, by their mean, in "
                     "evaluations alone",
                     {{"token", HaltUnit::kToken}, {"sequence", HaltUnit::kSequence}})
      .of_policy()
      .needs(kRule, halts);
  list.add("loop_cache", c.cache,
           "keys that generation keeps of a loop: of every iteration (0), or of so many, each in "
           "the place of the one that many before it")
      .at_least(0)
      .at_most(1 << 20)
      .of_policy();
  list.add("loop_halt_gate", c.gate,
           "a gate for each loop group, which learns when to leave it: loop_halt_rule = learned")
      .shapes_weights();
  list.add("loop_gate_entropy", c.gate_entropy,
           "weight of the entropy of the iteration to leave after, in the gates' objective")
      .at_least(0)
      .needs("loop_halt_gate = true", [&c] { return c.gate; });
  list.add("loop_stop_probability", c.stop_probability,
           "in training a token leaves a loop with this probability after an iteration")
      .at_least(0)
      .below(1);
}

void validate(const LoopHaltingConfig& c) {
  const HaltRule rule = c.acting_rule();
  if (rule == HaltRule::kLearned && !c.gate)
    misuse("loop_halt_rule = learned goes by a gate, and loop_halt_gate = false: there is none",
           "train with --loop_halt_gate=true, or take another rule");
  for (const double threshold : c.threshold.numbers)
    if (rule == HaltRule::kArgmax && (threshold < 1 || std::floor(threshold) != threshold))
      misuse(fmt::format("loop_halt_threshold = {} with loop_halt_rule = argmax is no number of "
                         "iterations",
                         threshold),
             "give a whole number from 1, or None for 5");
}

void apply(const LoopHaltingConfig& section, DepthPlan& plan, Policy& policy,
           const std::vector<size_t>& written) {
  if (section.is_off()) return;
  int groups = 0;
  each_group(plan.nodes, [&](LoopGroup& group) {
    if (section.gate) group.halting_gate.instance = groups;
    ++groups;
  });
  const auto count = static_cast<size_t>(groups);
  if (count == 0)
    misuse(fmt::format("{} is of loops, and loop_groups = [] has none", key_for_loops(section)),
           "add --loop_groups=auto, or leave the other key out");
  const OneOrMore& threshold = section.threshold;
  if (!threshold.numbers.empty() && !threshold.one && threshold.numbers.size() != count)
    misuse(fmt::format("loop_halt_threshold = [{}] has {}, loop_groups has {} group{}",
                       shown_list(threshold.numbers),
                       counted(static_cast<int64_t>(threshold.numbers.size()), "entry", "entries"),
                       count, count == 1 ? "" : "s"),
           "give one for each group, or a number for all");
  if (policy.loops.size() < count) policy.loops.resize(count);
  for (size_t g = 0; g < count; ++g) {
    LoopPolicy& loop = policy.loops[g];
    if (section.cache > 0) loop.cached_iterations = section.cache;
    loop.stop_probability = section.stop_probability;
    loop.gate_entropy = section.gate_entropy;
    if (section.acting_rule() == HaltRule::kNone) {
      if (section.stop_probability > 0) loop.halting.keys = KeyFate::kFrozen;
      continue;
    }
    loop.halting = {};
    loop.halting.config.rule = section.acting_rule();
    loop.halting.config.threshold =
        threshold.at(g < written.size() ? written[g] : g, default_threshold(section.acting_rule()));
    loop.halting.keys = KeyFate::kFrozen;
    loop.halting.unit = section.unit;
    loop.halting.in_training = false;
  }
}

std::vector<std::string> remarks(const LoopHaltingConfig& c) {
  std::vector<std::string> out;
  const HaltRule rule = c.acting_rule();
  if (rule == HaltRule::kNone) return out;
  for (const double threshold : c.threshold.numbers) {
    if (is_change(rule) && threshold == 0)
      out.emplace_back("a loop_halt_threshold of 0 is never met: no change is below it");
    if ((rule == HaltRule::kMax || rule == HaltRule::kLearned) && threshold > 1)
      out.push_back(fmt::format("a loop_halt_threshold of {} is never met", threshold));
    if ((rule == HaltRule::kMax || rule == HaltRule::kLearned) && threshold <= 0)
      out.push_back(fmt::format("a loop_halt_threshold of {} is always met", threshold));
  }
  return out;
}

}  // namespace fathom
