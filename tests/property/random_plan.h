// Plans of any structure: wirings, shared instances, doors, widths, windows, loops in loops, and
// readouts anywhere.
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "property/presets.h"

namespace fathom::property {

// An integer in [from, to].
inline int64_t any(int64_t from, int64_t to) {
  return *rc::gen::inRange<int64_t>(from, to + 1);
}
inline bool one_in(int64_t n) {
  return any(1, n) == n;  // shrinks to no
}

// Blocks of different shapes; the number of norms that each calls.
inline std::vector<Wiring> all_wirings() {
  using namespace wire;
  const WireExpr r = name("r"), n = name("n"), y = name("y"), a = name("a");
  return {
      pre_norm_wiring(),
      {{{"r", r + attention(n) + mlp(n)}}},
      // Two calls of one attention, one of them with values of its own.
      {{{"a", attention(n)},
        {"r", r + a * sigmoid(mean(n))},
        {"r", r + mlp(wire::norm(r))},
        {"r", r + number(0.5) * attention(n, wire::norm(r))}}},
      // Reads what the block before added.
      {{{"a", attention(n + number(0.3) * y)}, {"r", r + a}, {"r", r + mlp(wire::norm(r) - y)}}},
      // And says itself what it added.
      {{{"y", attention(n)}, {"r", r + y + mlp(wire::norm(r + y))}}},
  };
}

class RandomPlan {
 public:
  RandomPlan() {
    plan.wirings = all_wirings();
    if (!*rc::gen::arbitrary<bool>()) plan.wirings.resize(3);  // no y: it is not carried then
    width_ = any(0, 1) == 0 ? 8 : 4;
    plan.stem = {width_, 0};
    shares_ = one_in(3);
    plan.nodes = nodes(int(any(1, 3)), 0);
    plan.nodes.push_back({layer(0, /*last=*/true)});
    HaltingSpec& h = plan.halting;
    h.config.rule = HaltRule::kMax;
    h.config.threshold = double(any(15, 60)) / 100;
    h.config.temperature = one_in(3) ? 1.3 : 1;
    h.history = one_in(4) ? MaskHistory::kPrevious : MaskHistory::kCumulative;
    h.mask_self = !one_in(3);
    backbone.n_head = kHeads;
    backbone.n_embd = 8;
    backbone.block_size = kBlock;
    backbone.bias = *rc::gen::arbitrary<bool>();
    if (one_in(3)) backbone.dropout = 0.2;
  }

  DepthPlan plan;
  BackboneConfig backbone;
  bool cuts = false;  // somewhere the gradient is not the function's

 private:
  std::vector<PlanNode> nodes(int count, int depth) {
    std::vector<PlanNode> list;
    for (int i = 0; i < count; ++i) {
      if (depth < 2 && one_in(3)) {
        LoopGroup group;
        group.count = any(1, 3);
        group.adapter = one_in(2) ? adapters_++ : -1;
        group.single_pass_adapter = *rc::gen::arbitrary<bool>();
        group.noise = one_in(3) ? 0.5 : 0;
        group.backprop_depth = one_in(4) ? 1 : 0;
        cuts = cuts || group.backprop_depth > 0;
        group.body = nodes(int(any(1, 2)), depth + 1);
        list.push_back({group});
      } else {
        list.push_back({layer(depth)});
      }
    }
    return list;
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
    l.attention.assign(size_t(parts.attentions), instance);
    l.mlp.assign(size_t(parts.mlps), instance);
    for (int k = 0; k < parts.norms; ++k) l.norm.push_back({NormId::kMid, instance + 1000 * k});
    l.norm_in = {NormId::kIn, instance};
    if (one_in(3)) l.door.push_back({Injection::kGate, own, one_in(2)});
    if (l.width > l.width_in) l.door.push_back({Injection::kWiden});
    if (one_in(3)) l.door.push_back({Injection::kTokenTable, own + 1, one_in(2)});
    if (one_in(2)) l.context = any(0, 4);
    if (last || one_in(2)) read_out(l);
    if (one_in(6)) l.cut = cuts = true;
    return l;
  }

  void read_out(LayerSpec& l) {
    const int own = readouts_++;
    l.readout = ReadoutSpec{own, {NormId::kOut, own}, own};
  }

  int64_t width_ = 8;
  int layers_ = 0, adapters_ = 0, readouts_ = 0;
  bool shares_ = false;
};

// Such a plan with weights.
class RandomModel {
 public:
  explicit RandomModel(at::ScalarType dtype)
      : parameters(parameter_table(random.plan, random.backbone, kVocab), 1, at::kCPU, dtype),
        walk(random.plan, random.backbone, bind(parameters, false)),
        program(unroll(random.plan)) {
    const at::NoGradGuard no_grad;
    unsigned seed = 1;
    for (const Parameter& p : parameters.all()) {
      Tensor t = p.tensor;
      t.add_(random_normal(t.sizes(), seed++), 0.4);
    }
  }

  RandomPlan random;
  ParameterSet parameters;
  DepthWalk walk;
  DepthProgram program;
};

inline Batch any_batch() {
  const int64_t B = any(1, 4), T = any(2, kBlock);
  const auto seed = unsigned(any(1, 1000));
  return *rc::gen::arbitrary<bool>() ? text_batch(B, T, seed) : ragged_batch(B, T, seed);
}

}  // namespace fathom::property
