#include "experiments/dag/architecture_layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "experiments/dag/records.h"
#include "fathom/base/error.h"

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
    // Blocks go on with the stream itself, a head with its norm.
    std::vector<Expr> args = {wire::name(settings_.after > 0 ? "r" : "n"), wire::name(q)};
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

// With the parts that its wiring, the plan's last one, calls, as `free` numbers them.
LayerSpec dag_layer(const DepthPlan& plan, int64_t width, Free& free) {
  const WiringParts parts = check_wiring(plan.wirings.back());
  LayerSpec layer;
  layer.number = free.layer;
  layer.width = layer.width_in = width;
  layer.wiring = static_cast<int>(plan.wirings.size()) - 1;
  for (int k = 0; k < parts.attentions; ++k) layer.attention.emplace_back(free.attention++);
  for (int k = 0; k < parts.mlps; ++k) layer.mlp.emplace_back(free.mlp++);
  for (int k = 0; k < parts.norms; ++k) layer.norm.emplace_back(NormId::kMid, free.norm_mid++);
  return layer;
}

bool is_dag(const DepthPlan& plan, const LayerSpec& layer) {
  return layer.wiring + 1 == static_cast<int>(plan.wirings.size());
}

// The end: it is in a loop.
std::vector<PlanNode>::const_iterator dag_node(const DepthPlan& plan) {
  return std::find_if(plan.nodes.begin(), plan.nodes.end(), [&](const PlanNode& node) {
    const auto* layer = std::get_if<LayerSpec>(&node.node);
    return layer != nullptr && is_dag(plan, *layer);
  });
}

// In the order in which they are met.
std::vector<LayerSpec*> layers_of(DepthPlan& plan) {
  std::vector<LayerSpec*> layers;
  each_layer(plan, [&](LayerSpec& layer) { layers.push_back(&layer); });
  return layers;
}

// Puts `layer` behind the plan's `count`-th one, into the loop that it is in. What is left to count
// in `nodes`; 0: done.
int64_t insert_after(std::vector<PlanNode>& nodes, int64_t count, const LayerSpec& layer) {
  for (auto node = nodes.begin(); node != nodes.end(); ++node) {
    if (auto* group = std::get_if<LoopGroup>(&node->node)) {
      count = insert_after(group->body, count, layer);
    } else if (--count == 0) {
      nodes.insert(node + 1, {layer});
    }
    if (count == 0) return 0;
  }
  return count;
}

// Between blocks: the stream goes on with results in it, and who answers is left alone. At its door
// is a norm of its own, as heads have one.
void insert_program(int64_t after, DepthPlan& plan) {
  const std::vector<LayerSpec*> layers = layers_of(plan);
  const auto index = static_cast<size_t>(after);  // of the layer that comes after it
  if (index >= layers.size())
    misuse(fmt::format("dag_after = {} and the model has {} layers: nothing would go on with the "
                       "results",
                       after, layers.size()),
           "leave dag_after out for programs behind the last one, in front of the head");
  const LayerSpec &before = *layers[index - 1], &last = *layers.back();
  if (before.width != last.width)
    misuse(fmt::format("dag_after = {} and that layer is {} wide, the last one {}: programs are as "
                       "wide as n_embd",
                       after, before.width, last.width),
           "put them behind a layer of the full width, or leave layer_widths out");
  Free free(plan);
  // Numbered first, so that what a predictor has is so whatever comes with the fold.
  NormSpec door = last.readout->norm;
  door.place = NormId::kMid;
  door.index = free.norm_mid++;
  door.gain = 1;  // which is of logits
  LayerSpec layer = dag_layer(plan, before.width, free);
  layer.norm_in = door;
  layer.asked = false;
  // Nobody asks it: it learns by what the next layer that answers teaches.
  std::swap(layer.cut, layers[index]->cut);
  std::swap(layer.cut_later, layers[index]->cut_later);
  insert_after(plan.nodes, after, layer);
}

// The head's norm is at its door, and the head is given what it makes. Of a predictor, which has
// no head, nothing is.
void append_program(bool predictor, DepthPlan& plan) {
  LayerSpec& last = *layers_of(plan).back();
  Free free(plan);
  LayerSpec layer = dag_layer(plan, last.width, free);
  layer.norm_in = last.readout->norm;
  if (predictor) {
    each_layer(plan, [](LayerSpec& l) { l.readout.reset(); });
    plan.answers = "with a program of arithmetic for each position";
  } else {
    layer.readout = last.readout;
    layer.readout->norm = NormSpec(NormId::kOut, free.norm_out);
    layer.readout->norm.kind = NormSpec::kNone;
    // Whoever else is asked has a norm of its own before the head.
    plan.asked_by = last.readout;
    last.readout.reset();
    last.asked = false;
  }
  plan.nodes.push_back({std::move(layer)});
}

}  // namespace

Wiring dag_wiring(const DagSettings& settings, bool predictor) {
  return WiringMaker(settings, predictor).make();
}

void add_dag_layer(const DagSettings& settings, bool predictor, DepthPlan& plan) {
  if (settings.depth == 0) return;
  if (predictor && settings.executor == Executor::kScratch)
    misuse(
        "dag_executor = scratch makes lists, and a predictor learns what a text writes down, "
        "which is a stack's program",
        "leave dag_executor out; of the full models dag and dag_small learn lists, from the "
        "next token");
  plan.wirings.push_back(dag_wiring(settings, predictor));
  if (settings.after > 0)
    insert_program(settings.after, plan);
  else
    append_program(predictor, plan);
}

const LayerSpec& dag_layer_of(const DepthPlan& plan) {
  const LayerSpec* found = nullptr;
  each_layer(plan, [&](const LayerSpec& layer) {
    if (is_dag(plan, layer)) found = &layer;
  });
  return *found;
}

bool is_in_loop(const DepthPlan& plan) {
  return dag_node(plan) == plan.nodes.end();
}

bool loops_before(const DepthPlan& plan) {
  return std::any_of(plan.nodes.begin(), dag_node(plan), [](const PlanNode& node) {
    return std::holds_alternative<LoopGroup>(node.node);
  });
}

}  // namespace fathom::dag
