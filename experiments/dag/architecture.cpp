#include "experiments/dag/architecture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "experiments/dag/architecture_layer.h"
#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom::dag {
namespace {

// ---- Parameters

class OwnParameters {
 public:
  OwnParameters(const ModelConfig& config, const DepthPlan& plan)
      : list_(config.backbone, /*vocab_size=*/0, plan.effective_layers),
        bias_(config.backbone.bias) {}

  void linear(const std::string& name, int64_t out, int64_t in, bool always_bias = false) {
    list_.begin("dag." + name, Part::kOwn);
    list_.linear("", out, in, always_bias || bias_);
  }
  // A hidden layer as wide as its input; both maps have biases.
  void mlp(const std::string& name, int64_t out, int64_t in) {
    linear(name + ".up", in, in, true);
    linear(name + ".down", out, in, true);
  }
  void constant(const char* part, const char* name, int64_t n, double value) {
    list_.begin(std::string("dag.") + part, Part::kOwn);
    list_.add(name, {n}, constant_init(value), /*decays=*/false);
  }
  std::vector<ParameterSpec> take() { return list_.take(); }

 private:
  ParameterList list_;
  bool bias_;
};

std::vector<ParameterSpec> parameters(const ModelConfig& config, const DepthPlan& plan,
                                      bool predictor) {
  const DagSettings s = settings_of(config.own);
  if (s.depth == 0) return {};
  const int64_t H = config.backbone.n_embd, D = s.depth, S = s.slots();
  const auto N = static_cast<int64_t>(s.operations.size());
  const bool linear = s.domain == Domain::kLinear;
  OwnParameters own(config, plan);
  if (s.executor == Executor::kStack) {
    own.mlp("value", linear ? S : 2 * S, H);
    own.mlp("op", D * N, H);
  } else {
    own.linear("value", linear ? 1 : 2, H);
    own.mlp("plan", D * (2 * S + N), H);
  }
  if (predictor) return own.take();
  own.linear("embed", H, linear ? 1 : kFeatures);
  constexpr double kClosed = -2;  // sigmoid(-2) = 0.119
  if (s.fold == Fold::kLnScale) {
    own.constant("scale", "weight", 1, s.scale);
  } else {
    own.constant("gate_dag", "weight", H, kClosed);
    own.constant("gate_original", "weight", H, kClosed);
    own.constant("gate", "bias", 1, kClosed);
  }
  return own.take();
}

// Patterns of so many of a layer's parts, which are its first ones; `door`: and of the norm there.
std::vector<std::string> part_patterns(const LayerSpec& layer, const WiringParts& parts,
                                       bool door) {
  std::vector<std::string> patterns;
  const auto add = [&](const auto& all, int n) {
    for (int k = 0; k < n; ++k) patterns.push_back(all.at(size_t(k)).name() + ".*");
  };
  add(layer.attention, parts.attentions);
  add(layer.mlp, parts.mlps);
  add(layer.norm, parts.norms);
  if (door) patterns.push_back(layer.norm_in.name() + ".*");
  return patterns;
}

// Patterns of all that the DAG's layer has to itself. In front of the head its door has the head's
// norm.
std::string dag_patterns(const ModelConfig& config, const DepthPlan& plan) {
  std::vector<std::string> own = part_patterns(
      dag_layer_of(plan), check_wiring(plan.wirings.back()), settings_of(config.own).after > 0);
  own.insert(own.begin(), "dag.*");
  return join(own, ",");
}

// Names of what is in front of the DAG and a predictor may have, too: rows of the table in the
// walk's order, without heads and their norms.
std::vector<std::string> trunk_names(const ModelConfig& config, DepthPlan plan) {
  each_layer(plan, [](LayerSpec& layer) { layer.readout.reset(); });
  const std::vector<std::string> own =
      part_patterns(dag_layer_of(plan), check_wiring(plan.wirings.back()), /*door=*/true);
  std::vector<std::string> names;
  for (const ParameterSpec& spec : parameter_table(plan, config.backbone, /*vocab_size=*/2)) {
    for (const std::string& pattern : own)  // "mlp.6.*"
      if (spec.name.rfind(pattern.substr(0, pattern.size() - 1), 0) == 0) return names;
    names.push_back(spec.name);
  }
  return names;
}

// Of all that a predictor has of it.
std::string predictor_groups(const ModelConfig& config, const DepthPlan& plan) {
  DagSettings settings = settings_of(config.own);
  const int64_t until = config.own.integer("predictor_frozen_until");
  const double rate = config.own.number("predictor_lr");
  if (settings.executor != Executor::kStack || (until == 0 && rate == 1)) return "";
  settings.adapter = false;  // which is the full model's own
  const Wiring alone = dag_wiring(settings, /*predictor=*/true);
  const bool trunk = has_trunk(config.own);
  std::vector<std::string> own = part_patterns(dag_layer_of(plan), check_wiring(alone), trunk);
  own.insert(own.begin(), {"dag.value.*", "dag.op.*"});
  if (trunk) {
    if (plan.tied_heads)
      misuse(fmt::format("{} would hold the head, too: with tie_head = true it is the table of "
                         "tokens, which predictor_trunk = true counts as the predictor's",
                         until > 0 ? fmt::format("predictor_frozen_until = {}", until)
                                   : fmt::format("predictor_lr = {:g}", rate)),
             "--tie_head=False, or leave predictor_trunk out");
    const std::vector<std::string> before = trunk_names(config, plan);
    own.insert(own.end(), before.begin(), before.end());
  }
  for (std::string& pattern : own) pattern += fmt::format(": lr={}, frozen_until={}", rate, until);
  return join(own, "; ");
}

Architecture::Freeze freezes(const ModelConfig& config) {
  if (settings_of(config.own).depth == 0) return {};
  const DepthPlan plan = make_depth_plan(config);
  return {config.own.flag("freeze_gpt"), "*", dag_patterns(config, plan),
          predictor_groups(config, plan)};
}

// ---- What is learned

std::string no_programs(const DagSettings& s) {
  if (s.depth == 0) return "dag_depth = 0";
  if (s.executor == Executor::kScratch) return "dag_executor = scratch has no labels";
  if (s.plan_loss_weight == 0) return "plan_loss_weight = 0";
  return "sign_loss_weight, log_loss_weight and op_loss_weight are 0";
}

Learned learned(const ModelConfig& config, bool predictor) {
  const DagSettings s = settings_of(config.own);
  Learned out;
  out.next_token = !predictor && s.lm_loss_weight > 0;
  out.programs = s.learns_programs(predictor);
  out.operations = out.programs && s.op_loss_weight > 0;
  out.lines = s.targets == Targets::kToken;
  out.no_next_token = predictor ? "a predictor learns programs alone" : "lm_loss_weight = 0";
  if (!out.programs) out.no_programs = no_programs(s);
  return out;
}

// In the linear domain a number is what a map gives, of any size.
void check_values(const ModelConfig& config, double largest, const std::string& by) {
  const DagSettings s = settings_of(config.own);
  if (s.domain == Domain::kLinear || largest < std::exp(s.value_limit)) return;
  const double room = std::floor(std::log(largest)) + 1;
  misuse(fmt::format("{} has numbers of up to {:.6g}, and with dag_value_limit = {} the model "
                     "says none beyond {:.6g}",
                     by, largest, s.value_limit, std::exp(s.value_limit)),
         fmt::format("--dag_value_limit={:g} has room for them; or smaller numbers", room));
}

}  // namespace

std::string names_of(const std::vector<Operation>& operations) {
  std::vector<std::string> words;
  for (const Operation operation : operations) words.emplace_back(to_text(operation));
  return join(words, ", ");
}

std::shared_ptr<const Architecture> architecture(bool predictor) {
  const auto out = std::make_shared<Architecture>();
  out->name = predictor ? kPredictorName : kModelName;
  out->add_fields = [predictor](FieldList& list, OwnSettings& own) {
    add_fields(list, own, predictor);
  };
  out->change_plan = [predictor](const ModelConfig& config, DepthPlan& plan, Policy& policy) {
    const DagSettings settings = settings_of(config.own);
    add_dag_layer(settings, predictor, plan);
    if (settings.depth > 0 && policy.layers > 0)
      misuse(fmt::format("eval_layers = {} with dag_depth = {}: layers repeat, and the programs "
                         "among them do not",
                         policy.layers, settings.depth),
             "leave eval_layers out, or let blocks go round: --loop_groups");
  };
  out->add_parameters = [predictor](const ModelConfig& config, const DepthPlan& plan, int64_t) {
    return parameters(config, plan, predictor);
  };
  out->program_depth = [](const ModelConfig& config) -> std::optional<int64_t> {
    return settings_of(config.own).depth;
  };
  out->program_depth_key = "dag_depth";
  out->program_operations = [](const ModelConfig& config) {
    const DagSettings settings = settings_of(config.own);
    return settings.has_labels() ? names_of(settings.operations) : "";
  };
  out->program_operations_key = "dag_ops";
  out->learns = [predictor](const ModelConfig& config) { return learned(config, predictor); };
  out->label_keys = {"dag_targets", "sign_loss_weight", "log_loss_weight", "op_loss_weight"};
  if (!predictor) out->label_keys.emplace_back("plan_loss_weight");
  out->check_values = check_values;
  if (!predictor) {
    out->freezes = freezes;
    out->parts_of = predictor_parts;
    out->part_keys = {"dag_take_tables"};
    out->tells_of_part = told_of_predictor;
    out->begins_anew = begins_anew;
  }
  return out;
}

}  // namespace fathom::dag
