#include "fathom/model/spec/policy.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/model/spec/loop_counts.h"

namespace fathom {
namespace {

// `group`: what the loop is called.
void check_loop(const std::string& group, const LoopPolicy& loop) {
  if (loop.count < 1)
    misuse(fmt::format("{} cannot run {} times", group, loop.count), "a loop runs once or more");
  for (const int64_t count : loop.counts)
    if (count < 1 || count > loop.count)
      misuse(fmt::format("{} cannot run {} times for a sequence and {} times for others", group,
                         count, loop.count),
             "a sequence takes from 1 to as many iterations as the loop has");
  if (!(loop.stop_probability >= 0 && loop.stop_probability < 1))
    misuse(fmt::format("rows leave {} with a probability of {}", group, loop.stop_probability),
           "stop probabilities are from 0 to below 1");
  const HaltingPolicy& h = loop.halting;
  if (h.config.rule == HaltRule::kGold)
    misuse(fmt::format("{} halts by the target's probability", group),
           "what a loop goes by is known in generation too: take the largest one, rule max");
  if (!is_of_loops(h.config.rule))
    misuse(fmt::format("{} halts by a rule of the walk", group),
           "margin, entropy itself, converge, bernoulli and fixed are of halt_rule; loops have "
           "loop_halt_rule");
  if (h.history != MaskHistory::kCumulative)
    misuse(fmt::format("{} halts rows with mask_history = previous", group),
           "a row that has left a loop comes back after it; take mask_history = cumulative");
}

void check_walk(const Policy& policy) {
  if (policy.halting.history == MaskHistory::kPrevious && policy.halting.keys != KeyFate::kHidden)
    misuse("mask_history = previous says whose keys are hidden, and here they are not",
           "take mask_history = cumulative");
  const HaltRule rule = policy.halting.config.rule;
  if (!is_of_walks(rule))
    misuse("the walk halts by a rule of loops",
           "halt_rule is none, max, gold, margin, entropy, converge, rel_latent, kl, argmax, "
           "bernoulli or fixed");
  if (policy.layers < 0) misuse(fmt::format("a pass of {} layers", policy.layers), "1 or more");
  if (policy.halting.unit != HaltUnit::kToken)
    misuse("the walk halts by sequences", "that is for loops: LoopPolicy::halting");
}

}  // namespace

void check_policy(const Policy& policy, const DepthPlan& plan) {
  check_walk(policy);
  const std::vector<std::string> names = loop_group_names(plan);
  if (policy.loops.size() > names.size())
    misuse(fmt::format("a policy for {} loop groups, the plan has {}", policy.loops.size(),
                       names.size()),
           "give each group of the plan one, in the order of their first layers");
  for (size_t i = 0; i < policy.loops.size(); ++i)
    check_loop("the loop of " + names[i], policy.loops[i]);
}

Policy as_trained(Policy policy) {
  policy.layers = 0;
  return policy;
}

bool draws_counts(const Policy& policy, bool training) {
  return std::any_of(policy.loops.begin(), policy.loops.end(),
                     [&](const LoopPolicy& loop) { return loop.draws(training); });
}

Policy with_drawn_counts(Policy policy, int64_t B, const LoopNumbers& numbers, bool training) {
  for (size_t g = 0; g < policy.loops.size(); ++g) {
    LoopPolicy& loop = policy.loops[g];
    if (!loop.draws(training)) continue;
    loop.counts.clear();
    if (training && !loop.sampled_by_sequence) {
      loop.count = loop.sampler.draw(numbers(g, -1));
      continue;
    }
    for (int64_t b = 0; b < B; ++b) loop.counts.push_back(loop.sampler.draw(numbers(g, b)));
    loop.count = *std::max_element(loop.counts.begin(), loop.counts.end());
  }
  return policy;
}

void refuse_draws(const Policy& policy) {
  if (draws_counts(policy, /*training=*/false))
    misuse(
        "loops draw a count for each sequence of an evaluation (loop_counts_eval = sampled), of "
        "which there is none here",
        "--policy='loop_counts_eval=fixed' takes the mean, and max_loops=4 in it four iterations");
}

void refuse_sequences(const Policy& policy) {
  refuse_draws(policy);
  for (const LoopPolicy& loop : policy.loops)
    if (loop.halting.halts() && loop.halting.unit == HaltUnit::kSequence)
      misuse(
          "loops halt by sequences (loop_halt_unit = sequence), which is not causal: a text's "
          "next token cannot be asked for",
          "take loop_halt_unit = token; sequence is for evaluations");
}

}  // namespace fathom
