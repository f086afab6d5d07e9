#include "fathom/model/plan/parameter_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "fathom/base/error.h"
#include "fathom/model/plan/architecture.h"

namespace fathom {
namespace {

constexpr double kInitStd = 0.02;        // GPT-2
constexpr double kBytesPerNumber = 4.0;  // fp32

class Builder {
 public:
  Builder(const DepthPlan& plan, const BackboneConfig& config, int64_t vocab_size)
      : plan_(plan), c_(config), V_(vocab_size) {}

  std::vector<ParameterSpec> build() {
    const bool gpt2 = c_.init == Init::kGpt2;
    token_table(plan_.stem.token_table, plan_.stem.width);
    add("position_table.weight", {c_.block_size, plan_.stem.width}, Part::kPositionTable,
        gpt2 ? normal_init(kInitStd) : zeros_init());
    nodes(plan_.nodes);
    return std::move(table_);
  }

 private:
  void nodes(const std::vector<PlanNode>& list) {
    for (const PlanNode& node : list) {
      if (const auto* spec = std::get_if<LayerSpec>(&node.node)) {
        layer(*spec);
        continue;
      }
      const auto& group = std::get<LoopGroup>(node.node);
      if (group.adapter >= 0) {
        const int64_t C = first_width(group);
        linear(fmt::format("adapter.{}", group.adapter), C, 2 * C, Part::kAdapter, true, false);
      }
      nodes(group.body);
    }
  }

  static int64_t first_width(const LoopGroup& group) {
    const auto& node = group.body.front().node;
    const auto* layer = std::get_if<LayerSpec>(&node);
    return layer != nullptr ? layer->width_in : first_width(std::get<LoopGroup>(node));
  }

  void layer(const LayerSpec& layer) {
    const int64_t C = layer.width;
    for (const Injection& injection : layer.door) {
      if (injection.kind == Injection::kTokenTable) token_table(injection.instance, C);
      if (injection.kind == Injection::kGate)
        linear(fmt::format("gate.{}", injection.instance), 1, layer.width_in, Part::kGate, true,
               false);
    }
    norm(layer.norm_in, C);
    for (const int k : layer.attention) {
      linear(fmt::format("attention.{}.qkv", k), 3 * C, C, Part::kAttention, c_.bias, false);
      linear(fmt::format("attention.{}.out", k), C, C, Part::kAttention, c_.bias, true);
    }
    for (const NormId& id : layer.norm) norm(id, C);
    for (const int k : layer.mlp) {
      linear(fmt::format("mlp.{}.up", k), 4 * C, C, Part::kMlp, c_.bias, false);
      linear(fmt::format("mlp.{}.down", k), C, 4 * C, Part::kMlp, c_.bias, true);
    }
    if (!layer.readout) return;
    norm(layer.readout->norm, C);
    if (!plan_.tied_heads)
      linear(fmt::format("head.{}", layer.readout->head), V_, C, Part::kHead, c_.head_bias, false);
  }

  void token_table(int instance, int64_t width) {
    add(fmt::format("token_table.{}.weight", instance), {V_, width}, Part::kTokenTable,
        normal_init(c_.init == Init::kGpt2 ? kInitStd : 1.0));
  }

  void norm(const NormId& id, int64_t width) {
    add(id.name() + ".weight", {width}, Part::kNorm, ones_init());
    if (c_.bias) add(id.name() + ".bias", {width}, Part::kNorm, zeros_init());
  }

  void linear(const std::string& name, int64_t out, int64_t in, Part part, bool bias,
              bool residual) {
    add(name + ".weight", {out, in}, part, linear_init(c_, in, residual));
    if (bias)
      add(name + ".bias", {out}, part, c_.init == Init::kGpt2 ? zeros_init() : linear_init(c_, in));
  }

  // An instance that several layers share is one parameter, and has one shape.
  void add(const std::string& name, std::vector<int64_t> shape, Part part, InitRule init) {
    const auto [known, is_new] = shapes_.emplace(name, shape);
    if (is_new) {
      table_.push_back({name, std::move(shape), part, init, {}});
    } else if (known->second != shape) {
      misuse(fmt::format("{} is shared by layers that need [{}] and [{}]", name,
                         fmt::join(known->second, ", "), fmt::join(shape, ", ")),
             "layers of different widths cannot share weights");
    }
  }

  const DepthPlan& plan_;
  const BackboneConfig& c_;
  int64_t V_;
  std::vector<ParameterSpec> table_;
  std::map<std::string, std::vector<int64_t>> shapes_;
};

}  // namespace

const char* part_name(Part part) {
  switch (part) {
    case Part::kTokenTable:
      return "token table";
    case Part::kPositionTable:
      return "position table";
    case Part::kGate:
      return "gates";
    case Part::kAdapter:
      return "adapters";
    case Part::kAttention:
      return "attention";
    case Part::kMlp:
      return "MLP";
    case Part::kNorm:
      return "norms";
    case Part::kHead:
      return "head";
    case Part::kOwn:
      return "own";
  }
  return "";
}

int64_t ParameterSpec::count() const {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  return n;
}

InitRule normal_init(double standard_deviation) {
  return {InitRule::kNormal, standard_deviation};
}
InitRule zeros_init() {
  return {InitRule::kZeros, 0};
}
InitRule ones_init() {
  return {InitRule::kOnes, 0};
}

InitRule linear_init(const BackboneConfig& backbone, int64_t in, bool residual) {
  if (backbone.init == Init::kTorch)
    return {InitRule::kUniform, 1 / std::sqrt(static_cast<double>(in))};
  const double layers = 2 * static_cast<double>(backbone.n_layer);
  return normal_init(kInitStd * (residual ? 1 / std::sqrt(layers) : 1));
}

std::vector<ParameterSpec> parameter_table(const DepthPlan& plan, const BackboneConfig& backbone,
                                           int64_t vocab_size) {
  return Builder(plan, backbone, vocab_size).build();
}

std::vector<ParameterSpec> parameter_table(const ModelConfig& config, int64_t vocab_size) {
  const DepthPlan plan = make_depth_plan(config);
  std::vector<ParameterSpec> table = parameter_table(plan, config.backbone, vocab_size);
  if (config.architecture == nullptr || !config.architecture->add_parameters) return table;
  for (ParameterSpec& spec : config.architecture->add_parameters(config, plan, vocab_size)) {
    for (const ParameterSpec& known : table)
      if (known.name == spec.name)
        fail(fmt::format("{} adds the parameter {}, which is there already",
                         config.architecture->name, spec.name),
             "begin its name with the experiment's");
    spec.part = Part::kOwn;
    table.push_back(std::move(spec));
  }
  return table;
}

int64_t parameter_count(const std::vector<ParameterSpec>& table) {
  int64_t n = 0;
  for (const ParameterSpec& spec : table) n += spec.count();
  return n;
}

Flops flops_per_token(const DepthPlan& plan, const DepthProgram& program, int64_t vocab_size,
                      int64_t T) {
  std::vector<WiringParts> calls;
  for (const Wiring& wiring : plan.wirings) calls.push_back(check_wiring(wiring));
  Flops flops;
  for (const StepSpec& step : program.steps) {
    const LayerSpec& layer = step.layer;
    const auto C = static_cast<double>(layer.width), in = static_cast<double>(layer.width_in);
    const WiringParts& called = calls.at(static_cast<size_t>(layer.wiring));
    const auto attentions = static_cast<double>(called.attention_calls);
    const int64_t seen = layer.context ? std::min(*layer.context + 1, T) : T;
    flops.attention_linear += attentions * 2 * (3 * C * C + C * C);
    flops.attention_scores += attentions * 2 * (2 * C * static_cast<double>(seen));
    flops.mlp += static_cast<double>(called.mlp_calls) * 2 * (8 * C * C);
    if (layer.readout) flops.head += 2 * C * static_cast<double>(vocab_size);
    for (const Injection& injection : layer.door) {
      if (injection.kind == Injection::kGate) flops.doors += 2 * in;
      if (injection.kind == Injection::kLoopInput && injection.instance >= 0)
        flops.doors += 2 * in * 2 * in;
    }
  }
  return flops;
}

Flops flops_per_token(const ModelConfig& config, int64_t vocab_size, int64_t T) {
  const DepthPlan plan = make_depth_plan(config);
  Flops flops = flops_per_token(plan, unroll(plan), vocab_size, T);
  for (const ParameterSpec& spec : parameter_table(config, vocab_size))
    if (spec.part == Part::kOwn && spec.shape.size() == 2)
      flops.own += 2 * static_cast<double>(spec.count());
  return flops;
}

MemoryEstimate training_memory(const ModelConfig& config, int64_t vocab_size, int64_t B,
                               int64_t T) {
  MemoryEstimate m;
  m.parameters =
      kBytesPerNumber * static_cast<double>(parameter_count(parameter_table(config, vocab_size)));
  m.gradients = m.parameters;
  m.optimizer = 2 * m.parameters;  // AdamW's two moments
  const auto H = static_cast<double>(config.backbone.n_head);
  double per_row = 0;
  for (const StepSpec& step : unroll(make_depth_plan(config)).steps) {
    if (!step.grad) continue;
    const auto C = static_cast<double>(step.layer.width);
    // Two norm inputs and outputs (4C), qkv (3C), q k v by head (3C), head outputs (2C), the MLP's
    // hidden layer before and after its activation (8C), and the scores of every head before and
    // after softmax.
    per_row += 20 * C + 2 * H * static_cast<double>(T);
    // Logits, their log-softmax, and its gradient.
    if (step.layer.readout) per_row += 3 * static_cast<double>(vocab_size) + 2 * C;
  }
  m.activations = kBytesPerNumber * static_cast<double>(B * T) * per_row;
  return m;
}

}  // namespace fathom
