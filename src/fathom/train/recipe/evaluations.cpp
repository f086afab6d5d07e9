#include "fathom/train/recipe/evaluations.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/depth_program.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/other_names.h"

namespace fathom {
namespace {

constexpr const char* kExample =
    "for example --evaluations='train; val; strict: halt_threshold=0.99, batches=50'";

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\n");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

// At the separator, but not within brackets: a value may be a list.
std::vector<std::string> split_at(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  int depth = 0;
  for (const char c : text) {
    depth += c == '[' ? 1 : c == ']' ? -1 : 0;
    if (c == separator && depth <= 0)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  for (std::string& part : parts) part = trimmed(part);
  return parts;
}

bool is_series_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
             std::string::npos;
}

void read_setting(const std::string& text, EvaluationSpec& evaluation) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos)
    misuse(fmt::format("the evaluation {} has {}, which is no key=value", evaluation.name,
                       in_quotes(text)),
           kExample);
  const std::string key = trimmed(text.substr(0, equals)), value = trimmed(text.substr(equals + 1));
  if (key == "split") {
    evaluation.split = value;
  } else if (key == "batches") {
    const nlohmann::json number = parse_literal(value);
    if (!number.is_number_integer() || number < 1 || number > 1000000000000)
      misuse(fmt::format("the evaluation {} has batches = {}, allowed is a count of at least 1",
                         evaluation.name, value),
             kExample);
    evaluation.batches = number.get<int64_t>();
  } else {
    evaluation.settings.emplace_back(key, value);
  }
}

EvaluationSpec read_evaluation(const std::string& text) {
  EvaluationSpec evaluation;
  const size_t colon = text.find(':');
  evaluation.name = trimmed(text.substr(0, colon));
  if (!is_series_name(evaluation.name))
    misuse(fmt::format("evaluations has the name {}: letters, digits, _, - and . make one",
                       in_quotes(evaluation.name)),
           kExample);
  if (evaluation.name == "train") evaluation.split = "train";
  if (colon == std::string::npos) {
    if (evaluation.name != "train" && evaluation.name != "val")
      misuse(
          fmt::format("the evaluation {} says neither a split nor anything else", evaluation.name),
          kExample);
    return evaluation;
  }
  for (const std::string& setting : split_at(text.substr(colon + 1), ','))
    read_setting(setting, evaluation);
  if (evaluation.split != "train" && evaluation.split != "val")
    misuse(fmt::format("the evaluation {} has split = {}, allowed: train, val", evaluation.name,
                       in_quotes(evaluation.split)),
           kExample);
  return evaluation;
}

int64_t groups_in(const Value& groups) {
  if (groups.is_string()) return 1;  // the middle layer
  int64_t n = 0;
  for (const Value& inner : groups)
    if (inner.is_array()) n += 1 + groups_in(inner);
  return n;
}

// max_loops of one pass is what all groups' loops run, whatever training draws; the model's own,
// which weights may be made for, stays.
void count_loops(FieldList& list, const Value& own, const std::string& origin) {
  const Value groups = list.find("loop_groups")->value(), times = list.find("max_loops")->value();
  list.set("max_loops", own, origin);
  if (const int64_t n = groups_in(groups); n > 0)
    list.set("loop_counts", Value(std::vector<Value>(static_cast<size_t>(n), times)), origin);
}

// Whose name it is, however it is spelled.
bool sets(const EvaluationSpec& evaluation, const FieldList& list, const std::string& name) {
  return std::any_of(evaluation.settings.begin(), evaluation.settings.end(), [&](const auto& s) {
    const Field* field = list.find(s.first);
    return field != nullptr && field->name() == name;
  });
}

// Counts that the evaluation fixes are those of every sequence and token, and none is drawn. Those,
// and counts drawn as in training, where rules rest, are left by a rule only where the evaluation
// says something of it.
void settle_counts(const EvaluationSpec& evaluation, const FieldList& list, ModelConfig& c) {
  const auto first_set = [&](const std::vector<const char*>& keys) {
    const auto it = std::find_if(keys.begin(), keys.end(),
                                 [&](const char* key) { return sets(evaluation, list, key); });
    return it == keys.end() ? nullptr : *it;
  };
  const char* const fixed = first_set({"max_loops", "loop_counts"});
  const bool draws =
      c.looping.eval_counts == EvalCounts::kSampled && sets(evaluation, list, "loop_counts_eval");
  if (draws) {
    if (fixed != nullptr)
      misuse(
          fmt::format("evaluation {}: loop_counts_eval = sampled draws counts, and {} fixes them",
                      evaluation.name, fixed),
          "leave one of them out, or make two evaluations");
    if (!c.looping.loops() || !c.looping.sampler().draws())
      misuse(fmt::format("evaluation {}: loop_counts_eval = sampled, and training draws no counts",
                         evaluation.name),
             "it is of models with loop_groups and a loop_sampling_strategy other than fixed");
  }
  if (fixed == nullptr && !draws) return;
  if (!draws) c.looping.eval_counts = EvalCounts::kFixed;
  const char* const rule =
      first_set({"loop_halt_rule", "automatic_loop_exit", "loop_halt_threshold", "loop_halt_unit"});
  if (rule == nullptr && c.loop_halting.acting_rule() != HaltRule::kNone)
    c.loop_halting.automatic = false;
}

// A rule that the evaluation asks for acts, whatever the run's own switch says.
void settle_rule(const EvaluationSpec& evaluation, const FieldList& list, LoopHaltingConfig& c) {
  if (sets(evaluation, list, "loop_halt_rule") && c.rule != HaltRule::kNone &&
      !sets(evaluation, list, "automatic_loop_exit"))
    c.automatic.reset();
  if (c.acting_rule() != HaltRule::kNone) return;
  for (const char* key : {"loop_halt_threshold", "loop_halt_unit"})
    if (sets(evaluation, list, key))
      misuse(fmt::format("evaluation {}: {} is of a rule by which tokens leave loops, and there is "
                         "none",
                         evaluation.name, key),
             "add a loop_halt_rule, for example loop_halt_rule=rel_latent");
}

// A halting rule that the evaluation asks for goes by its own threshold, if none is given with it,
// and must not need other weights than the model has.
void settle_halting(const EvaluationSpec& evaluation, const FieldList& list, ModelConfig& changed) {
  if (!sets(evaluation, list, "halt_rule")) return;
  const bool one = sets(evaluation, list, "halt_threshold");
  if (!one) changed.halting.threshold.reset();
  if (!sets(evaluation, list, "halt_thresholds")) changed.halting.thresholds.clear();
}

void check_weights(const EvaluationSpec& evaluation, const FieldList& list,
                   const ModelConfig& model, const ModelConfig& changed) {
  if (!sets(evaluation, list, "halt_rule")) return;
  const auto names = [](const ModelConfig& config) {
    std::vector<std::string> out;
    for (const ParameterSpec& spec : parameter_table(config, /*vocab_size=*/2))
      out.push_back(spec.name);
    std::sort(out.begin(), out.end());
    return out;
  };
  if (names(model) == names(changed)) return;
  misuse(fmt::format("evaluation {}: halt_rule = {} needs other weights than the model has: its "
                     "layers have heads of their own (layer_heads = true) where they answer",
                     evaluation.name, list.find("halt_rule")->value().get<std::string>()),
         "train the model with the halt_rule, or with --layer_heads=false");
}

// That a pass with the settings can be made, before a run needs it. What is wrong without them too
// is no matter of the evaluation.
void check_changed(const EvaluationSpec& evaluation, const ModelConfig& changed) {
  ModelConfig checked = changed;
  // Where nobody halts the pass has no objective that asks who does: that is a matter of training.
  if (!changed.halting.acts()) checked.supervision = SupervisionConfig();
  try {
    validate(checked);
    unroll(make_depth_plan(changed), make_policy(changed));
  } catch (const Error& e) {
    if (evaluation.settings.empty()) throw;
    throw Error(e.kind(), fmt::format("evaluation {}: {}", evaluation.name, e.what()), e.hint());
  }
}

}  // namespace

ModelConfig with_settings(const EvaluationSpec& evaluation, const ModelConfig& model) {
  ModelConfig changed = model;
  FieldList list;
  add_fields(list, changed);
  explain_other_names(list, [](const Field& field) { return field.is_of_policy(); });
  for (const auto& [key, value] : evaluation.settings) {
    const Field* field = list.find(key);
    if (field != nullptr && !field->is_of_policy()) {
      std::vector<std::string> names;
      for (const Field& f : list.all())
        if (f.is_of_policy()) names.push_back(f.name());
      misuse(fmt::format("the evaluation {} sets {}, which is no matter of one pass",
                         evaluation.name, field->name()),
             "what an evaluation may set: " + join(names, ", "));
    }
    const std::string origin = "evaluation " + evaluation.name;
    const bool counts = field != nullptr && field->name() == "max_loops";
    const Value own = counts ? field->value() : Value();
    list.set_text(key, value, origin);
    if (counts) count_loops(list, own, origin);
  }
  settle_counts(evaluation, list, changed);
  settle_rule(evaluation, list, changed.loop_halting);
  settle_halting(evaluation, list, changed);
  check_changed(evaluation, changed);
  check_weights(evaluation, list, model, changed);
  return changed;
}

std::string evaluations_help() {
  return "what is evaluated: names, each with split, batches (eval_iters) and what a pass does "
         "otherwise; 'train; val; strict: halt_threshold=0.99'. The first one of val decides which "
         "checkpoint is best. A line tells `loss`, the last layer's (+- its standard error), and "
         "accuracy; where layers answer, `infer`, the loss of the layer that does, and "
         "`exit_rate`, "
         "the share of tokens that each layer answers; `objective`, what is optimised, where that "
         "is another number. `fathom eval` has the rest";
}

std::vector<EvaluationSpec> parse_evaluations(const std::string& text, const ModelConfig& model) {
  std::vector<EvaluationSpec> all;
  for (const std::string& part : split_at(text, ';')) {
    if (part.empty()) continue;
    EvaluationSpec one = read_evaluation(part);
    for (const EvaluationSpec& other : all)
      if (other.name == one.name)
        misuse(fmt::format("evaluations has two of the name {}", one.name), kExample);
    with_settings(one, model);
    all.push_back(std::move(one));
  }
  if (all.empty()) misuse("evaluations is empty: a run evaluates something", kExample);
  return all;
}

std::string without_keys(const std::string& text,
                         const std::function<bool(const std::string&)>& is_out) {
  std::vector<std::string> kept;
  bool cut = false;
  for (const std::string& part : split_at(text, ';')) {
    if (part.empty()) continue;
    const EvaluationSpec one = read_evaluation(part);
    if (std::any_of(one.settings.begin(), one.settings.end(),
                    [&](const auto& setting) { return is_out(setting.first); }))
      cut = true;
    else
      kept.push_back(part);
  }
  if (!cut) return text;
  return kept.empty() ? TrainingConfig().evaluations : join(kept, "; ");
}

namespace {

constexpr const char* kAutoExit = "auto_exit";

// The list's parts, but for those of the name.
std::vector<std::string> parts_but(const std::string& text, const std::string& name) {
  std::vector<std::string> kept = split_at(text, ';');
  const auto is_it = [&](const std::string& part) {
    return part.empty() || trimmed(part.substr(0, part.find(':'))) == name;
  };
  kept.erase(std::remove_if(kept.begin(), kept.end(), is_it), kept.end());
  return kept;
}

// The switch says no, and the list, as that of a run that goes on, has the line.
void leave_auto_exit(const FieldList& list, TrainingConfig& t, std::vector<std::string>& notices) {
  const std::vector<std::string> others = parts_but(t.evaluations, kAutoExit);
  if (!others.empty() && list.given_after("enable_auto_exit_eval", "evaluations")) {
    t.evaluations = join(others, "; ");
    notices.emplace_back(
        "enable_auto_exit_eval = false: the evaluation auto_exit is made no longer");
    return;
  }
  notices.emplace_back(
      "enable_auto_exit_eval = false: the evaluation auto_exit stays, for evaluations says it");
}

}  // namespace

// One more evaluation, asked for by a switch: it becomes a line of `evaluations`, if it is none
// yet.
void settle_auto_exit(const FieldList& list, TrainingConfig& t, std::vector<std::string>& notices) {
  if (!t.enable_auto_exit_eval) return;
  const bool asked = *t.enable_auto_exit_eval;
  t.enable_auto_exit_eval.reset();
  const bool is_there = parts_but(t.evaluations, kAutoExit) != parts_but(t.evaluations, "");
  if (is_there && !asked) leave_auto_exit(list, t, notices);
  if (is_there || !asked) return;
  const Value groups = list.find("loop_groups")->value();
  if (groups.is_array() && groups.empty()) {
    notices.emplace_back("enable_auto_exit_eval = true has no effect: it needs loop_groups");
    return;
  }
  const auto rule = list.find("loop_halt_rule")->value().get<std::string>();
  t.evaluations += fmt::format(
      "; auto_exit: automatic_loop_exit=true, loop_halt_rule={}, "
      "max_loops={}",
      rule == "none" ? "rel_latent" : rule, list.find("max_loops")->value().get<int64_t>());
}

bool objective_decides(const ModelConfig& config) {
  const auto& architecture = config.architecture;
  return architecture != nullptr && architecture->learns &&
         !architecture->learns(config).next_token && predicts_next_token(make_depth_plan(config));
}

size_t deciding_evaluation(const std::vector<EvaluationSpec>& evaluations) {
  for (size_t i = 0; i < evaluations.size(); ++i)
    if (evaluations[i].split == "val") return i;
  return 0;
}

}  // namespace fathom
