// A model that no configuration makes: a plan by hand with what the corridor can do beside GPT-2.
//
//   step 0            GPT-2's block, weights 0; readout 0
//   steps 1 .. K      a loop of one block, weights 1, K iterations: adapter, noise, on the first
//                     iteration a token table;
//                     t = A(n, r + y); g = sigmoid(mean(M(N(r)))); r = r + g t + y / 2 - t n
//   step K + 1        the first block again, weights 0; readout 1, through the same head
//   step K + 2        weights 2: y = A(n + y) M(n); r = r + y / 2; readout 2, whose norm is the
//                     block's
//
// Rows halt at a readout where they are sure enough, and are hidden from the steps after it.
#pragma once

#include <iterator>
#include <memory>

#include "fathom/model/depth_model.h"
#include "model/walking.h"
#include "spec/plans.h"

namespace fathom::testing {

inline constexpr int64_t kWidth = 8, kHeads = 2, kLength = 5, kSequences = 2, kVocab = 7;
inline constexpr double kNoise = 0.7, kThresholds[] = {0.6, 0.6, 0.41};

struct LoopSettings {
  int64_t count = 3, backprop_depth = 0;
  bool adapter = true;
  double noise = kNoise;
};

inline BackboneConfig corridor_backbone() {
  BackboneConfig b;
  b.n_layer = 3;
  b.n_head = kHeads;
  b.n_embd = kWidth;
  b.block_size = kLength;
  b.bias = b.head_bias = true;
  b.tie_head = false;
  return b;
}

inline DepthPlan corridor_plan(const LoopSettings& settings = {}) {
  using namespace wire;
  const auto r = [] { return name("r"); };
  const auto t = [] { return name("t"); };
  const Wiring gated = {{{"t", attention(name("n"), r() + name("y"))},
                         {"g", sigmoid(mean(mlp(norm(r()))))},
                         {"r", r() + name("g") * t() + number(0.5) * name("y") - t() * name("n")}}};
  const Wiring recurse = {{{"y", attention(name("n") + name("y")) * mlp(name("n"))},
                           {"r", r() + number(0.5) * name("y")}}};
  LayerSpec inside = block(1, kWidth, {{Injection::kTokenTable, 1}});
  inside.wiring = 1;
  inside.door[0].every_iteration = false;
  LayerSpec last = with_readout(block(2, kWidth), 2, 1);
  last.wiring = 2;
  last.norm = {};
  last.readout->norm = last.norm_in;
  const LoopGroup loop = loop_of({{inside}}, settings.adapter ? 0 : -1);
  DepthPlan plan = plan_of(
      {{with_readout(block(0, kWidth), 0)}, {loop}, {with_readout(block(0, kWidth), 1)}, {last}});
  plan.wirings = {pre_norm_wiring(), gated, recurse};
  return plan;
}

inline Policy corridor_policy(const LoopSettings& settings = {}) {
  Policy policy = loops({settings.count});
  policy.loops[0].noise = settings.noise;
  policy.loops[0].backprop_depth = settings.backprop_depth;
  policy.halting.config.rule = HaltRule::kMax;
  policy.halting.config.thresholds = {std::begin(kThresholds), std::end(kThresholds)};
  return policy;
}

inline std::unique_ptr<DepthModel> model_of_plan(const DepthPlan& plan, const Policy& policy,
                                                 const SupervisionTable& table) {
  ModelConfig config;
  config.backbone = corridor_backbone();
  auto model = std::make_unique<DepthModel>(ModelParts{
      config,
      kVocab,
      plan,
      policy,
      table,
      ParameterSet(parameter_table(plan, config.backbone, kVocab), 5, at::kCPU, at::kDouble),
      {}});
  disturb(*model, 0.4);
  return model;
}

inline std::unique_ptr<DepthModel> corridor_model(const SupervisionTable& table,
                                                  const LoopSettings& settings = {}) {
  return model_of_plan(corridor_plan(settings), corridor_policy(settings), table);
}

inline SupervisionTerm term_of(std::vector<double> weights) {
  SupervisionTerm term;
  term.weights = std::move(weights);
  return term;
}

// Targets that are missing in places, and a weight for each.
inline Batch corridor_batch() {
  Batch batch;
  batch.tokens_BT = random_tokens({kSequences, kLength}, kVocab, 3);
  batch.targets_BT = random_tokens({kSequences, kLength}, kVocab, 4);
  batch.targets_BT.data_ptr<int64_t>()[2] = batch.targets_BT.data_ptr<int64_t>()[6] = -1;
  batch.weight_BT = random_normal({kSequences, kLength}, 5).abs() + 0.1;
  return batch;
}

// Of a pass whose first sequence is the batch's `sequence`.
inline RandomField corridor_random(int64_t sequence = 0) {
  return {9, 4, sequence};
}

inline Pass corridor_pass() {
  return {false, corridor_random()};
}

inline WalkOptions corridor_options() {
  WalkOptions options;
  options.random = corridor_random();
  return options;
}

}  // namespace fathom::testing
