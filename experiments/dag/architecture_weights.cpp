// Which weights of other models a full one begins with.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "experiments/dag/architecture.h"
#include "experiments/dag/architecture_layer.h"
#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom::dag {
namespace {

// ---- The plain model of a full one

std::vector<std::string> parameter_names(const ModelConfig& config) {
  std::vector<std::string> names;
  for (const ParameterSpec& spec : parameter_table(config, /*vocab_size=*/2))
    names.push_back(spec.name);
  std::sort(names.begin(), names.end());
  return names;
}
std::vector<std::string> without(const std::vector<std::string>& names,
                                 const std::vector<std::string>& others) {
  std::vector<std::string> rest;
  std::set_difference(names.begin(), names.end(), others.begin(), others.end(),
                      std::back_inserter(rest));
  return rest;
}

// ---- Predictors of full models

struct Matched {
  std::string key, ours, theirs;
};

std::vector<Matched> what_must_match(const ModelConfig& ours, const ModelConfig& theirs) {
  const DagSettings a = settings_of(ours.own), b = settings_of(theirs.own);
  const BackboneConfig &x = ours.backbone, &y = theirs.backbone;
  std::vector<Matched> out;
  const auto text = [&](const char* key, std::string of_ours, std::string of_theirs) {
    out.push_back({key, std::move(of_ours), std::move(of_theirs)});
  };
  const auto number = [&](const char* key, auto of_ours, auto of_theirs) {
    text(key, fmt::format("{}", of_ours), fmt::format("{}", of_theirs));
  };
  const auto names = [](const std::vector<Operation>& operations) {
    return fmt::format("\"{}\"", names_of(operations));
  };
  const auto act = [](const BackboneConfig& c) {
    return c.activation == Activation::kGelu ? "gelu" : "gelu_tanh";
  };
  text("dag_executor", ours.own.text("dag_executor"), theirs.own.text("dag_executor"));
  number("dag_depth", a.depth, b.depth);
  text("dag_domain", ours.own.text("dag_domain"), theirs.own.text("dag_domain"));
  text("dag_ops", names(a.operations), names(b.operations));
  number("dag_value_limit", a.value_limit, b.value_limit);
  number("n_embd", x.n_embd, y.n_embd);
  number("n_head", x.n_head, y.n_head);
  number("bias", x.bias, y.bias);
  text("activation", act(x), act(y));
  number("norm_eps", x.norm_eps, y.norm_eps);
  return out;
}

void check_match(const ModelConfig& ours, const ModelConfig& theirs) {
  const bool is_predictor =
      theirs.architecture != nullptr && theirs.architecture->name == kPredictorName;
  if (!is_predictor)
    misuse("those weights are of a model that is no predictor of programs",
           "train one: fathom train dag_predictor_small, for example");
  std::vector<std::string> has, asked;
  for (const Matched& m : what_must_match(ours, theirs)) {
    if (m.ours == m.theirs) continue;
    has.push_back(fmt::format("{} = {}", m.key, m.theirs));
    asked.push_back(fmt::format("{} = {}", m.key, m.ours));
  }
  if (!has.empty())
    misuse(
        fmt::format("the predictor has {}, and the model {}", join(has, ", "), join(asked, ", ")),
        "a predictor feeds models of its own size and program: give one of them the other's "
        "settings");
}

// How it chooses where nobody learns, as its command line says it.
std::string choices_of(const OwnSettings& own) {
  const DagSettings s = settings_of(own);
  const bool draws = s.select == Select::kGumbel || s.select == Select::kGumbelSt;
  return fmt::format("--dag_select={} --{}={:g}", own.text("dag_select"),
                     draws ? "gumbel_temperature_end" : "softmax_temperature",
                     draws ? s.gumbel_temperature_end : s.softmax_temperature);
}

bool is_table(const ParameterSpec& spec) {
  return spec.part == Part::kTokenTable || spec.part == Part::kPositionTable;
}

std::vector<ParameterSpec> parameters_of(const ModelConfig& config) {
  return parameter_table(config, /*vocab_size=*/2);
}

// Others are of the model's depth, head and texts, which a trunk does not have.
bool is_of_trunk(const Field& field, bool loops) {
  static const std::set<std::string> others = {"n_layer",     "tie_head",   "head_bias",
                                               "layer_heads", "vocab_size", "block_size"};
  return field.does_shape_weights() && others.count(field.name()) == 0 &&
         (loops || field.section() != "looping");
}

// Names of those that differ; what_must_match() has those of programs. Loops count where the trunk
// of one of the two has any.
std::string other_trunk(const ModelConfig& ours, const ModelConfig& theirs) {
  const bool loops = loops_before(make_depth_plan(ours)) || loops_before(make_depth_plan(theirs));
  ModelConfig a = ours, b = theirs;
  a.architecture.reset();
  b.architecture.reset();
  FieldList of_a, of_b;
  add_fields(of_a, a);
  add_fields(of_b, b);
  std::vector<std::string> keys;
  for (const Field& field : of_b.all()) {
    if (is_of_trunk(field, loops) && of_a.find(field.name())->value() != field.value())
      keys.push_back(field.name());
  }
  return join(keys, ", ");
}

void check_trunk(const ModelConfig& ours, const ModelConfig& theirs) {
  const int64_t after = settings_of(ours.own).after, blocks = theirs.backbone.n_layer;
  if (after != blocks)
    misuse(fmt::format("predictor_trunk = true, and the predictor's programs come after {} blocks, "
                       "this model's after {}",
                       blocks, after),
           fmt::format("--dag_after={}, of a model that has more blocks, or leave predictor_trunk "
                       "out",
                       blocks));
  if (const std::string keys = other_trunk(ours, theirs); !keys.empty())
    misuse(fmt::format("predictor_trunk = true, and the predictor has another {} than the model: "
                       "the same weights would be another trunk",
                       keys),
           "give one of them the other's settings, or leave predictor_trunk out");
  if (is_in_loop(make_depth_plan(ours)))
    misuse(
        "predictor_trunk = true, and this model's programs go round in a loop, which a "
        "predictor's are behind",
        "another dag_after or loop_groups, or leave predictor_trunk out");
}

}  // namespace

// The DAG's parts are numbered behind those that the plain model has: a deeper one's would be taken
// for them.
std::vector<std::string> begins_anew(const ModelConfig& ours, const ModelConfig& theirs) {
  const Architecture* other = theirs.architecture.get();
  if (other != nullptr && other->name == kPredictorName)
    misuse("initial_model is a predictor of programs, which has no head",
           "--initial_part takes what makes programs of it");
  const bool is_plain =
      other == nullptr || (other->name == kModelName && settings_of(theirs.own).depth == 0);
  if (settings_of(ours.own).depth == 0 || !is_plain) return {};
  ModelConfig plain = ours;
  plain.own.integer("dag_depth", 0) = plain.own.integer("max_dag_depth", 0) = 0;
  plain.own.flag("freeze_gpt", false) = false;
  const std::vector<std::string> all = parameter_names(ours), our_plain = parameter_names(plain),
                                 their_plain = parameter_names(theirs);
  const std::vector<std::string> surplus = without(their_plain, our_plain),
                                 missing = without(our_plain, their_plain);
  if (!surplus.empty() || !missing.empty())
    misuse(fmt::format("initial_model has {}{}, which this model without its programs has{}",
                       surplus.empty() ? "no " : "",
                       surplus.empty() ? missing.front() : surplus.front(),
                       surplus.empty() ? "" : " not"),
           "`fathom describe` of both shows their settings: give this one that one's n_layer, bias "
           "and heads");
  return without(all, our_plain);
}

std::vector<PartName> predictor_parts(const ModelConfig& ours, const ModelConfig& theirs) {
  check_match(ours, theirs);
  const DepthPlan to = make_depth_plan(ours), from = make_depth_plan(theirs);
  const LayerSpec &a = dag_layer_of(to), &b = dag_layer_of(from);
  std::vector<PartName> parts, tensors;
  const auto pair = [&](const auto& of_ours, const auto& of_theirs) {
    for (size_t k = 0; k < of_theirs.size(); ++k)
      parts.push_back({of_ours.at(k).name() + ".", of_theirs[k].name() + "."});
  };
  pair(a.attention, b.attention);
  pair(a.mlp, b.mlp);
  pair(a.norm, b.norm);
  const bool takes_trunk = has_trunk(ours.own);
  if (takes_trunk) {
    check_trunk(ours, theirs);
    parts.push_back({a.norm_in.name() + ".", b.norm_in.name() + "."});
  }
  std::set<std::string> rest;  // of theirs
  for (const ParameterSpec& spec : parameters_of(theirs)) {
    const size_t before = tensors.size();
    if (spec.part == Part::kOwn) tensors.push_back({spec.name, spec.name});
    for (const PartName& part : parts)
      if (spec.name.rfind(part.theirs, 0) == 0)
        tensors.push_back({part.ours + spec.name.substr(part.theirs.size()), spec.name});
    if (tensors.size() == before) rest.insert(spec.name);
  }
  const bool takes_tables = takes_trunk || ours.own.flag("dag_take_tables");
  for (const ParameterSpec& spec : parameters_of(ours))
    if ((is_table(spec) ? takes_tables : takes_trunk) && rest.erase(spec.name) > 0)
      tensors.push_back({spec.name, spec.name});
  if (takes_trunk && !rest.empty())
    misuse(fmt::format("predictor_trunk = true, and the predictor has {}, which the model has not",
                       *rest.begin()),
           "give one of them the other's settings, or leave predictor_trunk out");
  return tensors;
}

std::vector<std::string> told_of_predictor(const ModelConfig& ours, const ModelConfig& theirs) {
  const std::string a = choices_of(ours.own), b = choices_of(theirs.own);
  if (a == b) return {};
  return {
      fmt::format("the predictor chose operations by {}, and this model chooses by {}: its "
                  "programs are not the predictor's, which {} keeps",
                  b, a, b)};
}

}  // namespace fathom::dag
