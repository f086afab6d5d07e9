#include "fathom/model/plan/depth_plan.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/model/plan/architecture.h"

namespace fathom {
namespace {

class Unroller {
 public:
  explicit Unroller(const std::vector<int64_t>& counts) : counts_(counts) {}

  DepthProgram run(const DepthPlan& plan) {
    for (const Wiring& wiring : plan.wirings) wirings_.push_back(check_wiring(wiring));
    walk(plan.nodes, /*first_iteration=*/true, /*grad=*/true);
    if (counts_.size() > groups_)
      fail(fmt::format("{} loop counts for {} loop groups", counts_.size(), groups_));
    return std::move(program_);
  }

 private:
  void walk(const std::vector<PlanNode>& nodes, bool first_iteration, bool grad) {
    for (const PlanNode& node : nodes) {
      if (const auto* layer = std::get_if<LayerSpec>(&node.node))
        add_step(*layer, first_iteration, grad);
      else
        loop(std::get<LoopGroup>(node.node), first_iteration, grad);
    }
  }

  void add_step(const LayerSpec& layer, bool first_iteration, bool grad) {
    StepSpec step;
    step.layer = layer;
    step.layer.door = std::move(pending_);
    pending_.clear();
    for (const Injection& injection : layer.door)
      if (first_iteration || injection.every_iteration) step.layer.door.push_back(injection);
    step.index = static_cast<int>(program_.steps.size());
    step.cache_slot = slots_;
    slots_ += wirings_.at(static_cast<size_t>(layer.wiring)).attention_calls;
    step.grad = grad;
    program_.steps.push_back(std::move(step));
  }

  void loop(const LoopGroup& group, bool first_iteration, bool grad) {
    const size_t index = groups_++;
    const int64_t K = index < counts_.size() ? counts_[index] : group.count;
    if (K < 1) fail(fmt::format("loop group {} cannot run {} times", index, K));
    if (group.body.empty()) fail(fmt::format("loop group {} has no layers", index));
    const bool truncated = group.backprop_depth > 0 && K > group.backprop_depth;
    const int64_t first_with_grad = truncated ? K - group.backprop_depth : 0;
    pending_.push_back({Injection::kOpenLoop});
    const size_t nested = groups_;
    for (int64_t k = 0; k < K; ++k) {
      groups_ = nested;  // nested groups keep their numbers in every iteration
      Injection input{Injection::kLoopInput, group.adapter};
      input.first = k == 0;
      input.single = K == 1;
      input.cut_state = truncated && k == first_with_grad;
      input.noise = K > 1 ? group.noise : 0;
      // A loop of one iteration without an adapter of its own is the plain layers.
      const bool plain = K == 1 && (group.adapter < 0 || !group.single_pass_adapter);
      if (!plain) pending_.push_back(input);
      walk(group.body, first_iteration && k == 0, grad && k >= first_with_grad);
    }
    ++program_.steps.back().closes_loops;
  }

  const std::vector<int64_t>& counts_;
  DepthProgram program_;
  std::vector<Injection> pending_;  // of the next step's door
  std::vector<WiringParts> wirings_;
  size_t groups_ = 0;
  int slots_ = 0;
};

// The layers of a plain model, with what the sections add at each.
class Planner {
 public:
  explicit Planner(const ModelConfig& config)
      : c_(config), weights_(config.supervision.layer_weights(config.backbone.n_layer)) {}

  DepthPlan run() {
    DepthPlan plan;
    plan.stem = {width(0), 0};
    plan.wirings = {pre_norm_wiring()};
    plan.tied_heads = c_.backbone.tie_head;
    for (int64_t i = 0; i < c_.backbone.n_layer; ++i) plan.nodes.push_back({layer(i)});
    plan.halting.config = c_.halting;
    plan.halting.history = c_.early_exit.mask_history;
    plan.halting.mask_self = c_.early_exit.mask_self.value_or(c_.halting.rule != HaltRule::kGold);
    return plan;
  }

 private:
  int64_t width(int64_t i) const {
    const IntList& widths = c_.early_exit.layer_widths;
    return widths.empty() ? c_.backbone.n_embd : widths[static_cast<size_t>(i)];
  }

  LayerSpec layer(int64_t i) const {
    const EarlyExitConfig& e = c_.early_exit;
    const int index = static_cast<int>(i);
    LayerSpec layer;
    layer.number = index;
    layer.width = width(i);
    layer.width_in = i == 0 ? layer.width : width(i - 1);
    layer.attention = layer.mlp = {index};
    layer.norm_in = {NormId::kIn, index};
    layer.norm = {{NormId::kMid, index}};
    if (i > 0 && e.gate_mode == GateMode::kLearned) layer.door.push_back({Injection::kGate, index});
    if (layer.width > layer.width_in) layer.door.push_back({Injection::kWiden});
    if (i > 0 && e.layer_tables) layer.door.push_back({Injection::kTokenTable, index});
    layer.cut = i > 0 && e.detach_between_layers;
    if (!e.layer_contexts.empty()) layer.context = e.layer_contexts[static_cast<size_t>(i)];
    const bool last = i + 1 == c_.backbone.n_layer;
    if (last || c_.halting.rule != HaltRule::kNone || weights_[static_cast<size_t>(i)] > 0) {
      const int own = e.layer_heads ? index : 0;
      layer.readout = ReadoutSpec{own, {NormId::kOut, own}, index};
    }
    return layer;
  }

  const ModelConfig& c_;
  std::vector<double> weights_;
};

// Of nodes that are const, or not.
template <class Nodes, class F>
void each_layer_of(Nodes& nodes, const F& f) {
  for (auto& node : nodes) {
    if (auto* group = std::get_if<LoopGroup>(&node.node))
      each_layer_of(group->body, f);
    else
      f(std::get<LayerSpec>(node.node));
  }
}

// Walks a plan in order, the width of the stream in hand.
class PlanChecker {
 public:
  explicit PlanChecker(const DepthPlan& plan) : plan_(plan), width_(plan.stem.width) {
    for (const Wiring& wiring : plan.wirings) parts_.push_back(check_wiring(wiring));
  }

  void check() {
    nodes(plan_.nodes);
    if (!reads_out_last_)
      misuse("the plan's last layer has no readout", "give it one: a model has to answer");
  }

 private:
  void nodes(const std::vector<PlanNode>& list) {
    if (list.empty())
      misuse("a plan or a loop group has no layers", "leave the group out, or give it a layer");
    for (const PlanNode& node : list) {
      if (const auto* group = std::get_if<LoopGroup>(&node.node))
        loop(*group);
      else
        layer(std::get<LayerSpec>(node.node));
    }
  }

  void loop(const LoopGroup& group) {
    const int64_t before = width_;
    nodes(group.body);
    if (width_ != before)
      misuse(fmt::format("a loop group begins {} wide and ends {} wide", before, width_),
             "what goes round has one width: widen before the loop");
  }

  void layer(const LayerSpec& layer) {
    if (layer.wiring < 0 || static_cast<size_t>(layer.wiring) >= parts_.size())
      misuse(fmt::format("a layer names wiring {}, the plan has {}", layer.wiring, parts_.size()),
             "wirings are numbered from 0");
    const WiringParts& p = parts_[static_cast<size_t>(layer.wiring)];
    if (static_cast<int>(layer.attention.size()) != p.attentions ||
        static_cast<int>(layer.mlp.size()) != p.mlps ||
        static_cast<int>(layer.norm.size()) != p.norms)
      misuse(fmt::format("a layer has {} attentions, {} MLPs and {} norms, its wiring calls {}, {} "
                         "and {}",
                         layer.attention.size(), layer.mlp.size(), layer.norm.size(), p.attentions,
                         p.mlps, p.norms),
             "give the layer exactly the parts that its wiring calls");
    bool widens = false;
    for (const Injection& injection : layer.door)
      widens = widens || injection.kind == Injection::kWiden;
    if (layer.width_in != width_ || (layer.width != layer.width_in && !widens))
      misuse(fmt::format("a layer takes {} channels and works on {}, the stream before it has {}",
                         layer.width_in, layer.width, width_),
             "width_in is the width before; a kWiden injection makes it wider");
    width_ = layer.width;
    reads_out_last_ = layer.readout.has_value();
  }

  const DepthPlan& plan_;
  std::vector<WiringParts> parts_;
  int64_t width_;
  bool reads_out_last_ = false;
};

}  // namespace

std::string NormId::name() const {
  return fmt::format("norm_{}.{}", place == kIn ? "in" : place == kMid ? "mid" : "out", index);
}

DepthProgram unroll(const DepthPlan& plan, const std::vector<int64_t>& counts) {
  return Unroller(counts).run(plan);
}

void check_plan(const DepthPlan& plan) {
  const HaltingSpec& h = plan.halting;
  if (h.scope != HaltingSpec::kWalk || h.key_fate != HaltingSpec::kHidden ||
      h.unit != HaltingSpec::kToken)
    misuse("the walk halts single tokens, for good, and hides their keys",
           "take HaltingSpec's first values");
  PlanChecker(plan).check();
}

DepthPlan make_depth_plan(const ModelConfig& config) {
  DepthPlan plan = Planner(config).run();
  if (config.architecture != nullptr && config.architecture->change_plan)
    config.architecture->change_plan(config, plan);
  return plan;
}

void each_layer(DepthPlan& plan, const std::function<void(LayerSpec&)>& change) {
  each_layer_of(plan.nodes, change);
}

void each_layer(const DepthPlan& plan, const std::function<void(const LayerSpec&)>& see) {
  each_layer_of(plan.nodes, see);
}

}  // namespace fathom
