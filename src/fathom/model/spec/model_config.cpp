#include "fathom/model/spec/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/loop_counts.h"
#include "fathom/model/spec/policy.h"

namespace fathom {
namespace {

// The last layer alone answers for the objective.
bool trains_last_only(const ModelConfig& config) {
  const SupervisionConfig& s = config.supervision;
  if (!s.has_objective()) return s.layer_supervision.choice == "last";
  const int64_t L = config.backbone.n_layer;
  const std::vector<bool> answers = layers_that_answer(make_supervision(s, L), L);
  return std::find(answers.begin(), answers.end() - 1, true) == answers.end() - 1;
}

// What says which layers are trained, as the remarks name it.
std::string objective_key(const SupervisionConfig& config) {
  return config.has_objective() ? "the objective" : "layer_supervision";
}

// skip_easy, by whichever key, where no token is easy; signals that only a halting rule tells.
void check_halting_signals(const ModelConfig& config) {
  if (config.halting.acts()) return;
  const SupervisionConfig& s = config.supervision;
  const bool logs = config.halting.rule != HaltRule::kNone;
  const bool named = s.has_objective() && objective_hash(objective_of(s)) ==
                                              objective_hash(parse_objective("skip_easy"));
  if (named || s.skips_easy()) {
    const char* const key = named ? "objective" : "layer_supervision";
    misuse(logs
               ? fmt::format("{} = skip_easy with halt_use = log: of tokens that only would have "
                             "halted none is easy",
                             key)
               : fmt::format("{} = skip_easy needs a halt_rule: without one no token is easy", key),
           fmt::format("add --{}, or --{}=all", logs ? "halt_use=answer" : "halt_rule=max", key));
  }
  if (!s.has_objective()) return;
  const std::string signal =
      needs_halting(make_supervision(config.supervision, config.backbone.n_layer));
  if (!signal.empty())
    misuse(
        fmt::format("objective = {} asks for {}, and {} tells of no token whether it does",
                    quoted_start(config.supervision.objective), signal,
                    config.halting.rule == HaltRule::kNone ? "halt_rule = none" : "halt_use = log"),
        config.halting.rule == HaltRule::kNone
            ? "add a halt_rule, or write expected_halts, which needs none"
            : "add --halt_use=answer, or write expected_halts, which needs no rule");
}

// A layer that neither answers nor is trained on needs no head that fits its width.
void check_shared_head(const ModelConfig& config) {
  const EarlyExitConfig& e = config.early_exit;
  const IntList& widths = e.layer_widths;
  if (widths.empty() || widths.front() == widths.back()) return;
  if (config.backbone.tie_head && !(e.layer_heads && e.layer_tables))
    misuse("tie_head = true needs one width, and layer_widths has several", "add --tie_head=false");
  if (e.layer_heads) return;
  const bool last_only = trains_last_only(config) && config.halting.rule == HaltRule::kNone;
  if (!last_only)
    misuse(
        "layer_widths with different widths needs layer_heads = true where earlier layers "
        "answer (halt_rule) or are trained (layer_supervision): one head fits one width",
        "add --layer_heads=true");
}

// A row may halt at the layer.
bool may_answer(const HaltingConfig& c, int64_t layer) {
  if (!c.acts()) return false;
  const double threshold = c.threshold_at(static_cast<size_t>(layer));
  if (c.rule == HaltRule::kBernoulli) return true;
  if (c.rule == HaltRule::kFixed) return static_cast<double>(layer) == threshold;
  if (is_change(c.rule)) return layer > 0 && threshold > 0;
  // At the first layer there is nothing that has stayed.
  if (c.rule == HaltRule::kArgmax) return static_cast<double>(layer) >= std::max(1.0, threshold);
  return c.rule == HaltRule::kLowEntropy ? threshold >= 0 : threshold <= 1;
}

// "layer 0 answers where it is confident" of those that no loss teaches to; empty: there are none.
std::string untaught_layers(const ModelConfig& config) {
  const int64_t L = config.backbone.n_layer;
  const std::vector<double> weights = config.supervision.layer_weights(L);
  std::vector<int64_t> layers;
  for (int64_t i = 0; i + 1 < L; ++i)
    if (weights[static_cast<size_t>(i)] == 0 && may_answer(config.halting, i)) layers.push_back(i);
  if (layers.empty()) return "";
  if (layers.size() == 1)
    return fmt::format("layer {} answers where it is confident", layers.front());
  const bool in_a_row = layers.back() - layers.front() + 1 == static_cast<int64_t>(layers.size());
  const std::string names = in_a_row && layers.size() > 2
                                ? fmt::format("{} to {}", layers.front(), layers.back())
                                : shown_list(layers);
  return fmt::format("layers {} answer where they are confident", names);
}

// What goes round has one width.
void check_widths_of_loops(const ModelConfig& config) {
  const IntList& widths = config.early_exit.layer_widths;
  const LoopingConfig& looping = config.looping;
  if (widths.empty() || !looping.loops()) return;
  const std::vector<LoopSpan> spans = loop_spans(looping, config.backbone.n_layer);
  const auto width = [&](int64_t layer) { return widths[static_cast<size_t>(layer)]; };
  each_span(spans, [&](const LoopSpan& span) {
    const int64_t before = span.first == 0 ? widths.front() : width(span.first - 1);
    if (width(span.last) != before)
      misuse(fmt::format("layer_widths = [{}] grows from {} to {} within loop_groups' layers {} to "
                         "{}",
                         shown_list(widths), before, width(span.last), span.first, span.last),
             "a group is as wide as the layer before it: widen outside of loop_groups");
    if (looping.concatenate && looping.adapter == LoopAdapter::kShared &&
        before != width(spans.front().last))
      misuse(fmt::format("loop_adapter = shared with layer_widths = [{}]: loop_groups of {} and {} "
                         "channels cannot share a map",
                         shown_list(widths), width(spans.front().last), before),
             "add --loop_adapter=group");
  });
}

// Rules by which no token halts before the last layer, however it is scored.
void add_late_rule(const ModelConfig& config, std::vector<std::string>& out) {
  HaltingConfig halting = config.halting;
  const bool counts_layers = halting.rule == HaltRule::kArgmax || halting.rule == HaltRule::kFixed;
  if (!counts_layers || config.looping.loops()) return;
  halting.use = HaltUse::kAnswer;
  const int64_t L = std::max(config.backbone.n_layer, halting.eval_layers.value_or(0));
  for (int64_t i = 0; i + 1 < L; ++i)
    if (may_answer(halting, i)) return;
  const char* const rule = halting.rule == HaltRule::kArgmax ? "argmax" : "fixed";
  out.push_back(
      fmt::format("halt_rule = {} with a halt_threshold of {} lets no token halt before "
                  "the last layer, {}",
                  rule, halting.threshold_at(static_cast<size_t>(L - 1)), L - 1));
}

// A likeliest token that has stayed for so many iterations was there for one more.
void add_late_argmax(const ModelConfig& config, std::vector<std::string>& out) {
  if (config.loop_halting.acting_rule() != HaltRule::kArgmax || !config.looping.loops()) return;
  const Policy policy = make_policy(config);
  const std::vector<std::string> names = loop_group_names(make_depth_plan(config));
  for (size_t g = 0; g < policy.loops.size(); ++g) {
    const LoopPolicy& loop = policy.loops[g];
    const double threshold = loop.halting.config.threshold_at(0);
    if (threshold + 1 < static_cast<double>(loop.count)) continue;
    out.push_back(
        fmt::format("loop_halt_rule = argmax with a loop_halt_threshold of {} lets no token leave "
                    "the loop of {} before its end, which comes after iteration {}",
                    threshold, names.at(g), loop.count));
  }
}

// A token that stops before the last iterations would have no gradient.
void check_stops(const ModelConfig& config) {
  const double stops = config.loop_halting.stop_probability;
  const int64_t depth = config.looping.backprop_depth.value_or(0);
  if (!config.looping.loops() || stops == 0 || depth <= 0) return;
  misuse(fmt::format("loop_stop_probability = {} with loops_backprop_depth = {}: a token that "
                     "leaves a loop before its last {} iterations would have no gradient",
                     stops, depth, depth),
         "add --loops_backprop_depth=None, or --loop_stop_probability=0");
}

// Keys of the backbone that act only under some of the wiring's.
void add_needs_of_wiring(FieldList& list, const ModelConfig& config) {
  const WiringConfig& w = config.wiring;
  list.find("rms_norm_eps")->or_needs("norm_kind = rms", [&w] {
    return w.norm_kind == NormChoice::kRms;
  });
  list.find("norm_eps")->needs("norm_kind = style or layer, or a loop_norm", [&w, &config] {
    const bool is_layer = w.norm_kind == NormChoice::kStyle || w.norm_kind == NormChoice::kLayer;
    return is_layer || (config.looping.loops() && config.looping.norm != LoopNorm::kNone);
  });
  Field* activation = list.find("activation");
  activation->needs("mlp_activation = style",
                    [&w] { return w.mlp_activation == MlpSpec::kOfBackbone; });
  activation->needs("a wiring that calls M", [&w] { return w.calls_mlp(); });
}

// F.name is computed by an experiment's code.
void check_functions(const ModelConfig& config) {
  if (!config.wiring.has_wiring() || config.architecture != nullptr) return;
  const std::set<std::string> functions = check_wiring(typed_wiring(config.wiring)).functions;
  if (!functions.empty())
    misuse(fmt::format("wiring = {} calls F.{}, which nobody has defined",
                       in_quotes(config.wiring.wiring), *functions.begin()),
           "functions are of experiments' own code; a wiring has A, M, N, sigmoid, mean and sum "
           "without any");
}

}  // namespace

double effective_layers(const ModelConfig& config) {
  const BackboneConfig& b = config.backbone;
  return b.effective_n_layer ? *b.effective_n_layer : effective_layers(config.looping, b.n_layer);
}

void settle_depth(ModelConfig& config) {
  if (config.looping.loops() && config.backbone.asks_depth())
    config.backbone.effective_n_layer = effective_layers(config);
}

void add_fields(FieldList& list, ModelConfig& config) {
  add_fields(list, config.backbone);
  add_fields(list, config.wiring);
  add_fields(list, config.early_exit);
  add_fields(list, config.halting);
  add_fields(list, config.supervision);
  add_fields(list, config.looping);
  add_fields(list, config.loop_halting);
  add_fields(list, config.ahead);
  add_needs_of_wiring(list, config);
  if (config.architecture == nullptr || !config.architecture->add_fields) return;
  list.section(config.architecture->name);
  config.architecture->add_fields(list, config.own);
}

void validate(const ModelConfig& config) {
  validate(config.backbone);
  validate(config.early_exit, config.backbone);
  validate(config.wiring, config.backbone, config.early_exit);
  check_functions(config);
  validate(config.halting, config.backbone);
  validate(config.supervision, config.backbone);
  validate(config.looping, config.backbone);
  check_widths_of_loops(config);
  validate(config.loop_halting);
  check_stops(config);
  validate(config.ahead, config.backbone);
  check_shared_head(config);
  if (config.backbone.tie_head && config.early_exit.layer_heads && !config.early_exit.layer_tables)
    misuse(
        "layer_heads = true with tie_head = true needs layer_tables = true: each head is tied "
        "to its layer's table",
        "add --layer_tables=true, or --tie_head=false");
  check_halting_signals(config);
}

std::vector<std::string> remarks(const ModelConfig& config) {
  std::vector<std::string> out = remarks(config.halting);
  if (!config.looping.loops())
    for (std::string& remark : remarks(config.wiring, config.backbone.n_layer))
      out.push_back(std::move(remark));
  for (std::string& remark : remarks(config.looping)) out.push_back(std::move(remark));
  for (std::string& remark : remarks(config.loop_halting)) out.push_back(std::move(remark));
  add_late_rule(config, out);
  add_late_argmax(config, out);
  const double temperature =
      config.halting.rule == HaltRule::kNone ? 1 : config.halting.temperature;
  for (std::string& remark : remarks(
           config.supervision,
           {config.backbone.n_layer, config.halting.acts(), config.looping.loops(), temperature}))
    out.push_back(std::move(remark));
  if (config.halting.rule == HaltRule::kGold && config.halting.mask_self.value_or(false))
    out.push_back(
        "halt_rule = gold with mask_self = true leaks the label: whether a token sees itself tells "
        "the next layer what its target is, so the training loss is too low");
  const std::vector<double> weights = config.supervision.layer_weights(config.backbone.n_layer);
  if (weights.back() == 0)
    out.push_back(fmt::format("layer {} is the last one and answers, but {} does not train it",
                              weights.size() - 1, objective_key(config.supervision)));
  const bool only_last =
      std::all_of(weights.begin(), weights.end() - 1, [](double weight) { return weight == 0; });
  if (config.early_exit.detach_between_layers && only_last && weights.size() > 1)
    out.push_back(fmt::format(
        "detach_between_layers = true where {} trains the last layer alone: no gradient "
        "reaches what is below it",
        objective_key(config.supervision)));
  const std::string untaught =
      config.halting.rule == HaltRule::kNone ? "" : untaught_layers(config);
  if (!untaught.empty()) {
    const bool named = !config.supervision.has_objective();
    const std::string choice = named ? config.supervision.layer_supervision.choice : "";
    out.push_back(fmt::format(
        "{}, but {}{} does not train {}", untaught, objective_key(config.supervision),
        choice.empty() ? "" : " = " + choice, untaught.rfind("layers", 0) == 0 ? "them" : "it"));
  }
  return out;
}

}  // namespace fathom
