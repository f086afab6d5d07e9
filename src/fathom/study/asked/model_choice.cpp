#include "fathom/study/asked/model_choice.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/policy.h"
#include "fathom/train/recipe/evaluations.h"
#include "fathom/train/recipe/fits_memory.h"
#include "fathom/train/recipe/run_checkpoint.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {

void add_fields(FieldList& list, ModelChoice& c) {
  list.section("model");
  list.add("checkpoint", c.checkpoint, "best, last or a checkpoint's folder; auto: best, else last")
      .path()
      .suggests(suggested_checkpoints);
  list.add("device", c.device, "auto, cpu, cuda or cuda:N").suggests(suggested_devices);
  list.add("threads", c.threads, "processor threads, 0: all this process may use")
      .at_least(0)
      .at_most(kMostThreads);
  list.add("threshold", c.threshold,
           "a token halts where its score is at least this; None: as trained");
  list.add("thresholds", c.thresholds, "the same, one per layer");
  list.ignore("compile", "this program is compiled already");
  for (const char* name : {"init_from", "out_dir"})
    if (list.find(name) == nullptr) list.ignore(name, "RUN says what to load");
}

void add_policy_field(FieldList& list, ModelChoice& c) {
  list.add("policy", c.policy,
           "settings of a pass in place of the trained ones, as a line of `evaluations` has them: "
           "'loop_halt_rule=kl, loop_halt_threshold=0.01'");
}

namespace {

void apply_policy(const std::string& policy, ModelConfig& config) {
  if (policy.empty()) return;
  const auto refuse = [&] {
    misuse(fmt::format("policy = {} is more than settings of a pass", quoted_start(policy)),
           "for example --policy='loop_halt_rule=kl, loop_halt_threshold=0.01'");
  };
  const size_t end = policy.find(';');  // of the settings: what follows would be another list's
  if (end != std::string::npos && !trim(policy.substr(end + 1)).empty()) refuse();
  const std::vector<EvaluationSpec> one = parse_evaluations("policy: " + policy, config);
  if (one.size() != 1 || one.front().batches || one.front().split != "val") refuse();
  for (const auto& [key, value] : one.front().settings)
    if (key == "shift")
      misuse(fmt::format("policy = {} shifts targets, and a text that grows has none",
                         quoted_start(policy)),
             fmt::format("`fathom generate RUN --lookahead={}` says what comes there", value));
  config = with_settings(one.front(), config);
}

}  // namespace

void apply_thresholds(const ModelChoice& choice, ModelConfig& config) {
  apply_policy(choice.policy, config);
  if (!choice.threshold && choice.thresholds.empty()) return;
  if (config.halting.rule == HaltRule::kBernoulli)
    misuse(fmt::format("{} was given, but tokens of {} halt by draws (halt_rule = bernoulli)",
                       choice.threshold ? "threshold" : "thresholds", choice.run),
           "--policy='halt_cap=0.5' bounds the probability, and another halt_rule has a threshold");
  if (!config.halting.acts())
    misuse(fmt::format("{} was given, but no token of {} halts before the last layer",
                       choice.threshold ? "threshold" : "thresholds", choice.run),
           "it has a meaning for models trained with a halt_rule, or with one in --policy");
  const auto L = static_cast<size_t>(config.backbone.n_layer);
  if (!choice.thresholds.empty() && choice.thresholds.size() != L)
    misuse(fmt::format("thresholds has {}, {} has {} layers",
                       counted(static_cast<int64_t>(choice.thresholds.size()), "entry", "entries"),
                       choice.run, L),
           "give one per layer, or --threshold for all");
  if (choice.threshold) config.halting.threshold = *choice.threshold;
  config.halting.thresholds = choice.thresholds;
  validate(config.halting, config.backbone);
}

void settle(ModelChoice& choice) {
  check_device_name(choice.device);
  if (choice.threshold && !choice.thresholds.empty())
    misuse("threshold and thresholds both say when a token halts", "leave out one of them");
  choice.folder = run_checkpoint(choice.run, choice.checkpoint, /*takes_checkpoint=*/true);
}

RunState settle_state(const ModelChoice& choice) {
  RunState state = verified_state(choice.folder);
  ModelConfig model = state.config.model;
  apply_thresholds(choice, model);
  RunConfig config = state.config;
  config.training.device = choice.device;
  require_memory(config, state.vocab_size, /*training=*/false);
  return state;
}

std::vector<std::string> notices_of(const FieldList& list) {
  std::vector<std::string> notices = list.notices();
  for (std::string& idle : without_effect(list)) notices.push_back(std::move(idle));
  return notices;
}

void require_next_token(const ModelChoice& choice, const std::string& verb) {
  const RunConfig config = verified_state(choice.folder).config;
  const DepthPlan plan = make_depth_plan(config.model);
  if (predicts_next_token(plan)) return;
  const std::string why =
      plan.answers.empty() ? "whose positions see later ones" : "which answers " + plan.answers;
  misuse(fmt::format("{} is a run of {}, {}: {} needs a model that predicts the next token from "
                     "those before it",
                     choice.run, config.preset, why, verb),
         "`fathom eval` shows how good it is at what it was trained for");
}

void require_no_draws(const ModelChoice& choice) {
  ModelConfig model = verified_state(choice.folder).config.model;
  apply_thresholds(choice, model);
  refuse_draws(make_policy(model));
}

}  // namespace fathom
