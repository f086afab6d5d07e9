#include "fathom/train/recipe/optimizer_config.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "fathom/base/text.h"
#include "fathom/train/recipe/optimizer_rules.h"
#include "fathom/train/recipe/parameter_groups.h"

namespace fathom {
namespace {

// "adamw, adam or muon": those for which `holds`.
std::string names_of_rules(const std::function<bool(const OptimizerRule&)>& holds) {
  std::vector<std::string> names;
  for (const OptimizerRule& rule : optimizer_rules())
    if (holds(rule)) names.emplace_back(rule.name);
  if (names.size() < 2) return join(names, "");
  const std::string last = names.back();
  names.pop_back();
  return join(names, ", ") + " or " + last;
}

// A key that only some optimisers read.
void needs_reader(Field& field, const OptimizerConfig& c) {
  const std::string key = field.name();
  field.needs("optimizer = " + names_of_rules([&](const OptimizerRule& r) { return r.reads(key); }),
              [&c, key] { return optimizer_rule(c.optimizer).reads(key); });
}

std::vector<std::pair<std::string, std::string>> choices() {
  std::vector<std::pair<std::string, std::string>> out;
  for (const OptimizerRule& rule : optimizer_rules()) out.emplace_back(rule.name, rule.name);
  return out;
}

void add_rule_fields(FieldList& list, OptimizerConfig& c) {
  list.add("beta1", c.beta1, "decay of the first moment; schedule_free_adamw: x's part in y")
      .at_least(0)
      .below(1);
  list.add("beta2", c.beta2, "decay of the second moment").at_least(0).below(1);
  list.add("adam_eps", c.adam_eps, "added to the root of the second moment").above(0);
  list.add("momentum", c.momentum, "of SGD: what is kept of the step before").at_least(0).below(1);
  list.add("rmsprop_alpha", c.rmsprop_alpha, "decay of RMSprop's mean square").at_least(0).below(1);
  list.add("muon_lr", c.muon_lr,
           "peak learning rate of the blocks' matrices; all else has learning_rate")
      .above(0)
      .at_most(1e30);
  list.add("muon_momentum", c.muon_momentum, "of the blocks' matrices").at_least(0).below(1);
  list.add("muon_nesterov", c.muon_nesterov,
           "the update is of the gradient and the mean, in Nesterov's form; false: of the mean");
  list.add("muon_ns_steps", c.muon_ns_steps, "Newton-Schulz steps of an update")
      .at_least(1)
      .at_most(30);
  std::set<std::string> read;
  for (const OptimizerRule& rule : optimizer_rules())
    read.insert(rule.keys.begin(), rule.keys.end());
  for (const std::string& key : read) needs_reader(*list.find(key), c);
}

void add_parameter_fields(FieldList& list, OptimizerConfig& c) {
  list.add<DecayRule>(
          "decay_rule", c.decay_rule,
          "matrices: every tensor of two dimensions (nanoGPT); mlp_and_head: only those "
          "weights (LMPlay); all: biases and norms too",
          {{"matrices", DecayRule::kMatrices},
           {"mlp_and_head", DecayRule::kMlpAndHead},
           {"all", DecayRule::kAll}})
      .needs("weight_decay > 0", [&c] { return c.weight_decay > 0; });
  list.add("default_freeze", c.default_freeze, "train only the parameters that unfreeze names");
  list.add("freeze", c.freeze,
           "parameters that stay as they are, for example token_table.*,mlp.0.*; `*` is any text")
      .needs("default_freeze = false", [&c] { return !c.default_freeze; });
  list.add("unfreeze", c.unfreeze, "parameters that are trained although freeze names them")
      .needs("freeze or default_freeze",
             [&c] { return c.default_freeze || !c.freeze.empty() || !c.own_freeze.empty(); });
  list.add("parameter_groups", c.parameter_groups,
           "settings of some parameters, the first that fits: head.*: lr=0.1, decay=0; mlp.0.*: "
           "frozen_until=500. lr is times the learning rate, decay in place of weight_decay");
}

}  // namespace

void add_fields(FieldList& list, OptimizerConfig& c) {
  list.section("optimizer");
  list.add<std::string>("optimizer", c.optimizer, "the rule that changes the parameters",
                        choices());
  list.add("use_muon", c.use_muon,
           "a spelling of optimizer = muon; False: of adamw, if it is muon");
  list.add("learning_rate", c.learning_rate, "peak learning rate")
      .above(0)
      .at_most(1e30)
      .alias("lr")
      .usual();
  list.add("weight_decay", c.weight_decay,
           "of the parameters decay_rule picks; " + names_of_rules([](const OptimizerRule& r) {
             return !r.decoupled;
           }) + " add it to the gradient, and have 0 unless it is given")
      .at_least(0);
  add_rule_fields(list, c);
  list.add("grad_clip", c.grad_clip, "largest global gradient norm, 0 turns clipping off")
      .at_least(0);
  add_parameter_fields(list, c);
  list.add("optimizer_warmup_steps", c.optimizer_warmup_steps,
           "updates over which the rate of an optimiser that begins anew comes to the schedule's")
      .at_least(0)
      .at_most(1e12);
  list.add("optimizer_warmup_fraction", c.optimizer_warmup_fraction,
           "of the schedule's rate, at the first of these updates")
      .at_least(0)
      .at_most(1000)
      .needs("optimizer_warmup_steps > 0", [&c] { return c.optimizer_warmup_steps > 0; });
}

namespace {

// A switch in place of a name.
void settle_use_muon(const FieldList& list, OptimizerConfig& c, std::vector<std::string>& notices) {
  if (c.use_muon && list.given("use_muon") && !list.given_after("use_muon", "optimizer"))
    notices.push_back(
        fmt::format("use_muon = {} has no effect: optimizer was given after it", *c.use_muon));
  if (c.use_muon && list.given_after("use_muon", "optimizer")) {
    if (*c.use_muon) c.optimizer = "muon";
    if (!*c.use_muon && c.optimizer == "muon") c.optimizer = "adamw";
  }
  c.use_muon.reset();
}

}  // namespace

void resolve(const FieldList& list, OptimizerConfig& c, std::vector<std::string>& notices) {
  settle_use_muon(list, c, notices);
  read_parameter_groups(c.parameter_groups);  // throws for what is none
  const OptimizerRule& rule = optimizer_rule(c.optimizer);
  if (!list.changes("optimizer") || list.given("weight_decay")) return;
  if (!rule.decoupled && c.weight_decay != 0) {
    notices.push_back(
        fmt::format("weight_decay = 0: {} was decoupled, {} would add it to the gradient",
                    c.weight_decay, rule.title));
    c.decay_left_off = std::exchange(c.weight_decay, 0);
  } else if (rule.decoupled && c.weight_decay == 0 && c.decay_left_off != 0) {
    c.weight_decay = std::exchange(c.decay_left_off, 0);
    notices.push_back(
        fmt::format("weight_decay = {}: {} decouples it again", c.weight_decay, rule.title));
  }
}

}  // namespace fathom
