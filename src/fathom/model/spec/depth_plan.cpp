#include "fathom/model/spec/depth_plan.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/model/spec/each_part.h"

namespace fathom {
namespace {

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
    stem();
    nodes(plan_.nodes);
    if (!reads_out_last_ && (plan_.answers.empty() || reads_out_))
      misuse("the plan's last layer has no readout",
             "give it one, or say in DepthPlan::answers what a model without any answers");
    each_part(plan_, [](const auto& part, const PartPlace& place) { part.check(place); });
  }

 private:
  void stem() const {
    const std::vector<Injection>& door = plan_.stem.door;
    const auto is_table = [](const Injection& i) {
      return i.kind == Injection::kTokenTable || i.kind == Injection::kPositionTable;
    };
    if (door.empty() || !is_table(door.front()))
      misuse("the stem does not begin with a table", "there is no stream before it");
    for (const Injection& i : door)
      if (i.kind == Injection::kOpenLoop || i.kind == Injection::kLoopInput ||
          i.kind == Injection::kLoopSignal || i.kind == Injection::kWiden)
        misuse("the stem opens or feeds a loop or widens the stream",
               "loops and widths are of layers");
  }

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
    for (const Injection& i : group.input)
      if (i.kind != Injection::kNorm && i.kind != Injection::kLoopSignal &&
          i.kind != Injection::kScale && i.kind != Injection::kNoise)
        misuse("a loop group's input has another injection than norms, signals, scales and noise",
               "tables, gates and widths are of a layer's door");
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
    for (const Injection& injection : layer.door) {
      widens = widens || injection.kind == Injection::kWiden;
      if (injection.kind == Injection::kLoopSignal)
        misuse("a layer's door has a loop's signal", "it belongs into LoopGroup::input");
    }
    if (layer.width_in != width_ || (layer.width != layer.width_in && !widens))
      misuse(fmt::format("a layer takes {} channels and works on {}, the stream before it has {}",
                         layer.width_in, layer.width, width_),
             "width_in is the width before; a kWiden injection makes it wider");
    width_ = layer.width;
    reads_out_last_ = layer.readout.has_value();
    reads_out_ = reads_out_ || reads_out_last_;
  }

  const DepthPlan& plan_;
  std::vector<WiringParts> parts_;
  int64_t width_;
  bool reads_out_ = false, reads_out_last_ = false;
};

}  // namespace

std::string answers(const DepthPlan& plan) {
  if (!plan.answers.empty()) return plan.answers;
  return plan.causal ? "the next token" : "with a token for each position, having seen all of them";
}

bool predicts_next_token(const DepthPlan& plan) {
  return plan.causal && plan.answers.empty();
}

void check_plan(const DepthPlan& plan) {
  PlanChecker(plan).check();
}

void check_queries(const DepthPlan& plan) {
  each_layer(plan, [&](const LayerSpec& layer) {
    std::vector<bool> compares;
    for (const AttentionSpec& a : layer.attention) compares.push_back(a.compares());
    require_read_queries(plan.wirings.at(static_cast<size_t>(layer.wiring)), compares);
  });
}

void add_readout(LayerSpec& layer) {
  if (!layer.readout) layer.readout = ReadoutSpec{0, {NormId::kOut, 0}, layer.number};
}

void each_layer(DepthPlan& plan, const std::function<void(LayerSpec&)>& change) {
  each_layer_of(plan.nodes, change);
}

void each_layer(const DepthPlan& plan, const std::function<void(const LayerSpec&)>& see) {
  each_layer_of(plan.nodes, see);
}

}  // namespace fathom
