// Plans of any structure: wirings, parts of every kind, shared instances, doors, widths, windows,
// loops in loops, and readouts anywhere.
#pragma once

#include <ATen/ops/arange.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <set>

#include "property/presets.h"
#include "property/random_parts.h"

namespace fathom::property {

// Blocks of different shapes; the number of norms that each calls.
inline std::vector<Wiring> all_wirings() {
  using namespace wire;
  const Expr r = name("r"), n = name("n"), y = name("y"), a = name("a");
  return {
      pre_norm_wiring(),
      {{{"r", r + attention(n) + mlp(n)}}},
      // Two calls of one attention, one of them with values of its own.
      {{{"a", attention(n)},
        {"r", r + a * sigmoid(mean(n))},
        {"r", r + mlp(wire::norm(r))},
        {"r", r + number(0.5) * attention(n, wire::norm(r))}}},
      // Keys that are made of more than the norm, at two attentions.
      {{{"t", mlp(n)}, {"a", attention(name("t"), r)}, {"r", r + a + wire::norm(attention(n, 1))}}},
      // Queries that another attention has made, of keys and values that none has.
      {{{"t", mlp(n)}, {"r", r + attention(n + attention(r), name("t"), wire::norm(r))}}},
      // Reads what the block before added.
      {{{"a", attention(n + number(0.3) * y)}, {"r", r + a}, {"r", r + mlp(wire::norm(r) - y)}}},
      // And says itself what it added.
      {{{"y", attention(n)}, {"r", r + y + mlp(wire::norm(r + y))}}},
  };
}

enum class PlanShape { kAny, kLoopInALoop };

class RandomPlan {
 public:
  explicit RandomPlan(PlanShape shape = PlanShape::kAny) {
    plan.wirings = all_wirings();
    if (!*rc::gen::arbitrary<bool>()) plan.wirings.resize(5);  // no y: it is not carried then
    width_ = any(0, 1) == 0 ? 8 : 4;
    plan.stem = {width_, any_stem()};
    shares_ = one_in(3);
    if (shape == PlanShape::kLoopInALoop) {
      plan.nodes.push_back({loop_in_a_loop()});
    } else {
      plan.nodes = nodes(int(any(1, 3)), 0);
    }
    plan.nodes.push_back({layer(0, /*last=*/true)});
    HaltingPolicy& h = policy.halting;
    h.config.rule = HaltRule::kMax;
    h.config.threshold = double(any(15, 60)) / 100;
    h.config.temperature = one_in(3) ? 1.3 : 1;
    h.history = one_in(4) ? MaskHistory::kPrevious : MaskHistory::kCumulative;
    h.mask_self = !one_in(3);
    if (one_in(2)) halt_by_another(h.config);
    backbone.n_head = kHeads;
    backbone.n_embd = 8;
    backbone.block_size = kBlock;
    backbone.bias = *rc::gen::arbitrary<bool>();
    if (one_in(3)) backbone.dropout = 0.2;
  }

  DepthPlan plan;
  Policy policy;
  BackboneConfig backbone;
  bool cuts = false;  // somewhere the gradient is not the function's

 private:
  // Rules that compare states need readouts of one width.
  void halt_by_another(HaltingConfig& config) const {
    std::vector<HaltRule> rules = {HaltRule::kMargin, HaltRule::kLowEntropy, HaltRule::kArgmax,
                                   HaltRule::kBernoulli};
    std::set<int64_t> widths;
    each_layer(plan, [&](const LayerSpec& l) {
      if (l.readout) widths.insert(l.width);
    });
    if (widths.size() == 1)
      for (const HaltRule rule : {HaltRule::kLatentChange, HaltRule::kKl}) rules.push_back(rule);
    config.rule = *rc::gen::elementOf(rules);
    if (config.rule == HaltRule::kLowEntropy) config.threshold = 4 * *config.threshold;
  }

  std::vector<PlanNode> nodes(int count, int depth) {
    std::vector<PlanNode> list;
    for (int i = 0; i < count; ++i) {
      if (depth < 2 && one_in(3)) {
        LoopGroup group = loop();
        group.body = nodes(int(any(1, 2)), depth + 1);
        list.push_back({group});
      } else {
        list.push_back({layer(depth)});
      }
    }
    return list;
  }

  // The policy's next one, without its body.
  LoopGroup loop() {
    LoopGroup group;
    LoopPolicy l;
    l.count = any(1, 3);
    group.adapter = one_in(2) ? adapters_++ : -1;
    l.single_pass_adapter = *rc::gen::arbitrary<bool>();
    l.noise = one_in(3) ? 0.5 : 0;
    l.backprop_depth = one_in(4) ? 1 : 0;
    cuts = cuts || l.backprop_depth > 0;
    policy.loops.push_back(l);
    return group;
  }

  // Where rows that wait for the end of one loop are needed in another.
  LoopGroup loop_in_a_loop() {
    LoopGroup outer = loop();
    if (one_in(2)) outer.body.push_back({layer(1)});
    LoopGroup inner = loop();
    inner.body.push_back({layer(2)});
    outer.body.push_back({inner});
    if (one_in(2)) outer.body.push_back({layer(1)});
    return outer;
  }

  // `last`: it answers, at the full width.
  LayerSpec layer(int depth, bool last = false) {
    LayerSpec l;
    const int own = layers_++;
    l.width_in = width_;
    // Loops keep their width.
    if (last || (depth == 0 && one_in(4))) width_ = 8;
    l.width = width_;
    // Layers of one width may share all their parts.
    const int instance = shares_ ? 100 + int(width_) : own;
    l.wiring = int(any(0, int64_t(plan.wirings.size()) - 1));
    const WiringParts parts = check_wiring(plan.wirings[size_t(l.wiring)]);
    l.attention.assign(size_t(parts.attentions), of_instance(attention_, instance, any_attention));
    l.mlp.assign(size_t(parts.mlps), of_instance(mlp_, instance, any_mlp));
    for (int k = 0; k < parts.norms; ++k) l.norm.push_back(norm(NormId::kMid, instance + 1000 * k));
    l.norm_in = norm(NormId::kIn, instance);
    if (one_in(3)) l.door.push_back({Injection::kGate, own, one_in(2)});
    if (l.width > l.width_in) l.door.push_back({Injection::kWiden});
    if (one_in(3)) l.door.push_back({Injection::kTokenTable, own + 1, one_in(2)});
    for (int64_t n = one_in(3) ? any(1, 2) : 0; n > 0; --n)
      l.door.push_back(any_injection(own + 1 + 100 * int(n)));
    match_gates(l.door);
    if (one_in(2)) l.context = any(0, 4);
    if (last || one_in(2)) read_out(l);
    if (one_in(6)) l.cut = cuts = true;
    return l;
  }

  // A table is read on its gate's iterations.
  static void match_gates(std::vector<Injection>& door) {
    const Injection* gate = nullptr;
    for (Injection& injection : door) {
      const bool table = injection.kind == Injection::kTokenTable;
      if (table && gate != nullptr) injection.every_iteration = gate->every_iteration;
      if (table) gate = nullptr;
      if (injection.kind == Injection::kGate) gate = &injection;
    }
  }

  void read_out(LayerSpec& l) {
    const int own = readouts_++;
    l.readout = ReadoutSpec{own, norm(NormId::kOut, own), own};
  }

  // An instance is of one kind wherever it is named.
  template <class Spec, class Make>
  static Spec of_instance(std::map<int, Spec>& known, int instance, const Make& make) {
    const auto at = known.find(instance);
    return at != known.end() ? at->second : known.emplace(instance, make(instance)).first->second;
  }
  NormSpec norm(NormId::Place place, int instance) {
    return of_instance(norms_[place], instance,
                       [&](int i) { return any_norm(NormSpec(place, i)); });
  }

  std::map<int, AttentionSpec> attention_;
  std::map<int, MlpSpec> mlp_;
  std::map<NormId::Place, std::map<int, NormSpec>> norms_;
  int64_t width_ = 8;
  int layers_ = 0, adapters_ = 0, readouts_ = 0;
  bool shares_ = false;
};

// Such a plan with weights.
class RandomModel {
 public:
  explicit RandomModel(at::ScalarType dtype, PlanShape shape = PlanShape::kAny)
      : random(shape),
        parameters(parameter_table(random.plan, random.backbone, kVocab), 1, at::kCPU, dtype),
        walk(random.plan, random.backbone, bind(parameters, random.plan)),
        program(unroll(random.plan, random.policy)) {
    const at::NoGradGuard no_grad;
    unsigned seed = 1;
    for (const Parameter& p : parameters.all()) {
      Tensor t = p.tensor;
      t.add_(random_normal(t.sizes(), seed++), 0.4);
    }
  }

  BlockSettings settings() const {
    BlockSettings s;
    s.gelu = random.backbone.activation == Activation::kGelu ? GeluForm::kExact : GeluForm::kTanh;
    s.norm_eps = random.backbone.norm_eps;
    return s;
  }
  // Some wiring reads what the block before added.
  bool keeps_y() const {
    const auto& all = random.plan.wirings;
    return std::any_of(all.begin(), all.end(),
                       [](const Wiring& w) { return check_wiring(w).reads_y; });
  }

  RandomPlan random;
  ParameterSet parameters;
  DepthWalk walk;
  DepthProgram program;
};

// Positions of the whole batch, which a piece by itself would count from 0.
inline Batch with_positions(Batch batch) {
  const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1);
  if (!batch.position_BT.defined())
    batch.position_BT =
        at::arange(T, at::TensorOptions(at::kLong)).unsqueeze(0).expand({B, T}).contiguous();
  return batch;
}

inline Batch any_batch() {
  const int64_t B = any(1, 4), T = any(2, kBlock);
  const auto seed = unsigned(any(1, 1000));
  return *rc::gen::arbitrary<bool>() ? text_batch(B, T, seed) : ragged_batch(B, T, seed);
}

}  // namespace fathom::property
