#include "experiments/dag/architecture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "experiments/dag/records.h"
#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom::dag {
namespace {

// Writes the layer's wiring; parts are numbered as they are called.
class WiringMaker {
 public:
  WiringMaker(const DagSettings& settings, bool predictor)
      : settings_(settings), predictor_(predictor) {}

  Wiring make() {
    // Numbered last, so that the predictor's parts are the full model's first ones.
    const std::string begin = settings_.adapter ? "x" : "n";
    const Expr program = settings_.executor == Executor::kStack ? stack(begin) : scratch(begin);
    if (predictor_) {
      set("r", program);
    } else {
      set("d", program);
      fold(settings_.post_block ? block("q", "d") : "d");
    }
    if (settings_.adapter) statements_.insert(statements_.begin(), {"x", normed(wire::name("n"))});
    return {std::move(statements_)};
  }

 private:
  void set(const std::string& target, Expr value) {
    statements_.push_back({target, std::move(value)});
  }
  Expr normed(Expr x) { return wire::norm(std::move(x), norms_++); }

  // GPT-2's block of `from`, as a name; which that is again.
  std::string block(const std::string& name, const std::string& from) {
    const Expr attended = wire::attention(normed(wire::name(from)), attentions_++);
    set(name, wire::name(from) + attended);
    const Expr made = wire::mlp(normed(wire::name(name)), mlps_++);
    set(name, wire::name(name) + made);
    return name;
  }

  Expr scratch(const std::string& begin) {
    const std::string p = settings_.pre_block ? block("p", begin) : begin;
    return wire::function(kFunction, {wire::name(begin), normed(wire::name(p))});
  }
  Expr stack(const std::string& begin) {
    block("v", begin);
    block("s", begin);
    const Expr v = wire::name("v");
    set("c", normed(wire::attention(wire::name("s"), v, v, attentions_++)));
    return wire::function(kFunction, {v, wire::name("c")});
  }

  void fold(const std::string& q) {
    std::vector<Expr> args = {wire::name("n"), wire::name(q)};
    if (settings_.fold == Fold::kLnScale) args.push_back(normed(wire::name(q)));
    set("r", wire::function(kFold, std::move(args)));
  }

  const DagSettings& settings_;
  bool predictor_;
  std::vector<Statement> statements_;
  int attentions_ = 0, mlps_ = 0, norms_ = 0;
};

// Numbers that no part of the plan has yet.
struct Free {
  int attention = 0, mlp = 0, norm_mid = 0, norm_out = 0, layer = 0;

  explicit Free(const DepthPlan& plan) {
    const auto behind = [](int& free, int used) { free = std::max(free, used + 1); };
    const auto norm = [&](const NormSpec& n) {
      if (n.place == NormId::kMid) behind(norm_mid, n.index);
      if (n.place == NormId::kOut) behind(norm_out, n.index);
    };
    each_layer(plan, [&](const LayerSpec& l) {
      behind(layer, l.number);
      for (const AttentionSpec& a : l.attention) behind(attention, a.instance);
      for (const MlpSpec& m : l.mlp) behind(mlp, m.instance);
      for (const NormSpec& n : l.norm) norm(n);
      norm(l.norm_in);
      if (l.readout) norm(l.readout->norm);
    });
  }
};

LayerSpec dag_layer(const DepthPlan& plan, const LayerSpec& last) {
  const Wiring& wiring = plan.wirings.back();
  const WiringParts parts = check_wiring(wiring);
  Free free(plan);
  LayerSpec layer;
  layer.number = free.layer;
  layer.width = layer.width_in = last.width;
  layer.wiring = static_cast<int>(plan.wirings.size()) - 1;
  for (int k = 0; k < parts.attentions; ++k) layer.attention.emplace_back(free.attention++);
  for (int k = 0; k < parts.mlps; ++k) layer.mlp.emplace_back(free.mlp++);
  for (int k = 0; k < parts.norms; ++k) layer.norm.emplace_back(NormId::kMid, free.norm_mid++);
  layer.norm_in = last.readout->norm;
  layer.readout = last.readout;
  layer.readout->norm = NormSpec(NormId::kOut, free.norm_out);
  layer.readout->norm.kind = NormSpec::kNone;
  return layer;
}

LayerSpec& last_layer(DepthPlan& plan) {
  LayerSpec* last = nullptr;
  each_layer(plan, [&](LayerSpec& layer) { last = &layer; });
  return *last;
}

void change_plan(const ModelConfig& config, DepthPlan& plan, bool predictor) {
  const DagSettings settings = settings_of(config.own);
  if (settings.depth == 0) return;
  if (predictor && settings.executor == Executor::kScratch)
    misuse(
        "dag_executor = scratch makes lists, and a predictor learns what a text writes down, "
        "which is a stack's program",
        "leave dag_executor out; of the full models dag and dag_small learn lists, from the "
        "next token");
  plan.wirings.push_back(WiringMaker(settings, predictor).make());
  LayerSpec& last = last_layer(plan);
  LayerSpec layer = dag_layer(plan, last);
  if (predictor) {
    each_layer(plan, [](LayerSpec& l) { l.readout.reset(); });
    layer.readout.reset();
    plan.answers = "with a program of arithmetic for each position";
  } else {
    // Whoever else is asked has a norm of its own before the head.
    plan.asked_by = last.readout;
    last.readout.reset();
    last.asked = false;
  }
  plan.nodes.push_back({std::move(layer)});
}

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

// Patterns of so many of a layer's parts, which are its first ones.
std::vector<std::string> part_patterns(const LayerSpec& layer, const WiringParts& parts) {
  std::vector<std::string> patterns;
  const auto add = [&](const auto& all, int n) {
    for (int k = 0; k < n; ++k) patterns.push_back(all.at(size_t(k)).name() + ".*");
  };
  add(layer.attention, parts.attentions);
  add(layer.mlp, parts.mlps);
  add(layer.norm, parts.norms);
  return patterns;
}

// Patterns of all that the DAG's layer has to itself.
std::string dag_patterns(const DepthPlan& plan) {
  std::vector<std::string> own =
      part_patterns(dag_layer_of(plan), check_wiring(plan.wirings.back()));
  own.insert(own.begin(), "dag.*");
  return join(own, ",");
}

// Of all that a predictor has of it.
std::string predictor_groups(const ModelConfig& config, const DepthPlan& plan) {
  DagSettings settings = settings_of(config.own);
  const int64_t until = config.own.integer("predictor_frozen_until");
  const double rate = config.own.number("predictor_lr");
  if (settings.executor != Executor::kStack || (until == 0 && rate == 1)) return "";
  settings.adapter = false;  // which is the full model's own
  const Wiring alone = WiringMaker(settings, /*predictor=*/true).make();
  std::vector<std::string> own = part_patterns(dag_layer_of(plan), check_wiring(alone));
  own.insert(own.begin(), {"dag.value.*", "dag.op.*"});
  for (std::string& pattern : own) pattern += fmt::format(": lr={}, frozen_until={}", rate, until);
  return join(own, "; ");
}

Architecture::Freeze freezes(const ModelConfig& config) {
  if (settings_of(config.own).depth == 0) return {};
  const DepthPlan plan = make_depth_plan(config);
  return {config.own.flag("freeze_gpt"), "*", dag_patterns(plan), predictor_groups(config, plan)};
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

const LayerSpec& dag_layer_of(const DepthPlan& plan) {
  return std::get<LayerSpec>(plan.nodes.back().node);
}

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
  out->change_plan = [predictor](const ModelConfig& config, DepthPlan& plan, Policy&) {
    change_plan(config, plan, predictor);
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
