// What the property tests share: every preset and some composed configurations at a size that a
// test can afford, batches of every kind, and models whose tokens halt at every layer.
//
// B sequences, T positions, R rows, L layers.
#pragma once

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "fathom/config/config_file.h"
#include "fathom/model/depth_model.h"
#include "fathom/model/device.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/ops/plain.h"
#include "fathom/train/recipe/registry.h"
#include "model/walking.h"
#include "property/halting_cases.h"
#include "property/slope.h"
#include "spec/shrink_loops.h"

namespace fathom::property {

using namespace fathom::testing;

constexpr int64_t kVocab = 11, kHeads = 2, kWidth = 12, kBlock = 9;

// One thread: two would wait for one another on tensors of this size.
class PropertyTest : public ::testing::Test {
 protected:
  PropertyTest() { set_threads(1); }
};

// ---- Configurations

struct Case {
  std::string name;
  ModelConfig config;
  bool causal = true;           // its hidden states do not depend on later tokens
  std::string preset = "tiny";  // that it comes from

  // Its experiment adds something, which may be another objective or another batch.
  bool own() const { return config.architecture != nullptr; }
  // Texts can be grown with it.
  bool grows() const { return make_depth_plan(config).causal; }
  bool acts() const { return config.halting.acts(); }
  // By a probability, of which subject() sets thresholds, and is hidden then.
  bool halts() const {
    const HaltRule rule = config.halting.rule;
    return acts() && hides() && (rule == HaltRule::kMax || rule == HaltRule::kGold);
  }
  // And every step of the walk decides.
  bool halts_everywhere() const {
    bool all = halts();
    each_layer(make_depth_plan(config),
               [&](const LayerSpec& layer) { all = all && layer.readout.has_value(); });
    return all;
  }
  bool hides() const { return config.halting.fate() == KeyFate::kHidden; }
  bool gold() const { return config.halting.rule == HaltRule::kGold; }
  // Only then a halted row may leave the walk, and does.
  bool may_skip() const {
    return !acts() || (hides() && config.halting.mask_history == MaskHistory::kCumulative);
  }
  // Unset: settled by the rule, as the plan does.
  bool masks_self() const { return make_policy(config).halting.mask_self; }
  bool random() const {
    const BackboneConfig& b = config.backbone;
    return b.dropout > 0 || b.attn_dropout.value_or(0) > 0 || b.residual_dropout.value_or(0) > 0 ||
           b.embed_dropout.value_or(0) > 0;
  }
  // Evaluation, and training where that makes another walk of it.
  std::vector<bool> passes() const {
    return random() || gold() ? std::vector<bool>{false, true} : std::vector<bool>{false};
  }
};

// A configuration's settings at a size that a test can afford. Of lists with an entry per layer the
// entries of the kept layers stay, spread evenly, the last layer's among them.
inline ModelConfig shrink(ModelConfig c) {
  BackboneConfig& b = c.backbone;
  const int64_t before = b.n_layer, L = std::min<int64_t>(before, 3);
  const auto keep = [&](auto& per_layer) {
    if (per_layer.empty()) return;
    auto kept = per_layer;
    kept.clear();
    for (int64_t i = 1; i <= L; ++i) kept.push_back(per_layer.at(size_t(i * before / L - 1)));
    per_layer = kept;
  };
  const auto scale = [](int64_t x, int64_t from, int64_t to) { return (x * to + from - 1) / from; };
  keep(c.early_exit.layer_widths);
  keep(c.early_exit.layer_contexts);
  keep(c.halting.thresholds);
  keep(c.supervision.layer_supervision.list);
  for (int64_t& width : c.early_exit.layer_widths)
    width = (scale(width, b.n_embd, kWidth) + kHeads - 1) / kHeads * kHeads;
  for (int64_t& context : c.early_exit.layer_contexts)
    context = scale(context, b.block_size, kBlock);
  b.n_layer = L;
  b.n_head = kHeads;
  b.n_embd = kWidth;
  b.block_size = kBlock;
  b.vocab_size.reset();
  c.ahead.max_shift = std::min(c.ahead.max_shift, kBlock - 1);
  shrink_loops(c);
  validate(c);
  return c;
}

inline std::string settings_of(ModelConfig config) {
  FieldList list;
  add_fields(list, config);
  return (config.architecture == nullptr ? "" : config.architecture->name + "\n") + to_toml(list);
}

// Scores are what the tests ask for: a preset that answers something else is not theirs.
inline bool answers_with_scores(const ModelConfig& config) {
  return make_depth_plan(config).answers.empty();
}

// Registered presets, shrunk; presets that are the same model then are one case. Those of wirings
// are many and small variations of one another: wirings_test.cpp has the rules for them.
inline std::vector<Case> preset_cases(bool of_wirings = false) {
  std::vector<Case> cases;
  std::map<std::string, size_t> known;
  for (const Preset& preset : registry().presets()) {
    if ((preset.experiment == "blockalgebra") != of_wirings) continue;
    const ModelConfig config = shrink(preset_config(preset.name).model);
    if (!answers_with_scores(config)) continue;
    const auto [at, is_new] = known.emplace(settings_of(config), cases.size());
    if (is_new)
      cases.push_back({preset.name, config, make_depth_plan(config).causal, preset.name});
    else
      cases[at->second].name += ", " + preset.name;
  }
  return cases;
}

inline ModelConfig exits(MaskHistory history = MaskHistory::kCumulative) {
  ModelConfig c;
  c.backbone.tie_head = false;
  c.early_exit.layer_tables = c.early_exit.layer_heads = true;
  c.halting.mask_history = history;
  c.halting.rule = HaltRule::kMax;
  c.supervision.layer_supervision = {"all", {}};
  return shrink(c);
}

inline std::vector<Case> composed_cases() {
  std::vector<Case> cases;
  const auto add = [&](const char* name, ModelConfig config, auto change) {
    change(config);
    validate(config);
    cases.push_back({name, config});
  };
  using C = ModelConfig;
  const C plain = shrink({}), exit = exits();
  add("windows, gates, widths", exit, [](C& c) {
    c.early_exit.layer_widths = {4, 8, 12};
    c.early_exit.gate_mode = GateMode::kLearned;
    c.early_exit.layer_contexts = {3, 1, 9};
    c.backbone.bias = c.backbone.head_bias = true;
  });
  add("previous, windows", exits(MaskHistory::kPrevious), [](C& c) {
    c.early_exit.layer_contexts = {0, 2, 4};
  });
  add("gold", exit, [](C& c) { c.halting.rule = HaltRule::kGold; });
  add("gold, previous, dropout", exits(MaskHistory::kPrevious), [](C& c) {
    c.halting.rule = HaltRule::kGold;
    c.backbone.dropout = 0.1;
  });
  add("gold, mask_self", exit, [](C& c) {
    c.halting.rule = HaltRule::kGold;
    c.halting.mask_self = true;
  });
  cases.back().causal = false;  // the documented exception
  add("shared head that halts", plain, [](C& c) {
    c.halting.rule = HaltRule::kMax;
    c.supervision.layer_supervision = {"last", {}};
  });
  add("mask_self = false", exit, [](C& c) { c.halting.mask_self = false; });
  add("weights, sum, torch", exit, [](C& c) {
    c.supervision.layer_supervision = {"", {0.5, 0, 2}};
    c.supervision.reduce = SupervisionReduce::kSum;
    c.backbone.init = Init::kTorch;
    c.backbone.activation = Activation::kGeluTanh;
    c.backbone.bias = true;
    c.backbone.residual_dropout = 0.3;
  });
  for (const SkipEasyWeight weight : {SkipEasyWeight::kLayer, SkipEasyWeight::kToken})
    add(weight == SkipEasyWeight::kLayer ? "skip_easy by layer" : "skip_easy by token", exit,
        [&](C& c) {
          c.supervision.layer_supervision = {"skip_easy", {}};
          c.supervision.skip_easy_weight = weight;
        });
  add("temperature, tied tables, dropout", exit, [](C& c) {
    c.halting.temperature = 1.7;
    c.backbone.tie_head = true;
    c.backbone.embed_dropout = 0.1;
    c.backbone.attn_dropout = 0.4;
  });
  for (const HaltingCase& h : kHaltingCases) add(h.name, exit, [&](C& c) { h.change(c.halting); });
  add("positions that blocks read", plain, [](C& c) {
    c.wiring.wiring = "r = r + A(n + pos); r = r + M(N(r)*pos)";
    c.wiring.positions = Positions::kNone;
  });
  add("positions that blocks read, exits", exit,
      [](C& c) { c.wiring.wiring = "a = A(pos - n, r*pos); r = r + a + M(n)"; });
  add("detach", exit, [](C& c) { c.early_exit.detach_between_layers = true; });
  const C computes = shrink(preset_config("dag_small").model);
  const auto between = [](C& c) { c.own.integer("dag_after", 0) = 1; };
  const size_t first = cases.size();
  add("programs between blocks", computes, between);
  add("programs between blocks that exit", computes, [&](C& c) {
    between(c);
    c.backbone.tie_head = false;
    c.early_exit.layer_tables = c.early_exit.layer_heads = true;
    c.halting.mask_history = MaskHistory::kCumulative;
    c.halting.rule = HaltRule::kMax;
    c.supervision.layer_supervision = {"all", {}};
  });
  add("programs between blocks of a loop", computes, [&](C& c) {
    between(c);
    FieldList list;
    add_fields(list, c);
    list.set_text("loop_groups", "[[0, 1]]", "a test");
    list.set_text("max_loops", "2", "a test");
  });
  for (size_t i = first; i < cases.size(); ++i) cases[i].preset = "dag_small";
  return cases;
}

inline std::vector<Case> all_cases() {
  std::vector<Case> cases = preset_cases();
  for (Case& c : composed_cases()) cases.push_back(std::move(c));
  return cases;
}

// ---- Batches

// Each position's target is the next token; every fifth has none.
inline Batch text_batch(int64_t B, int64_t T, unsigned seed) {
  const Tensor text = random_tokens({B, T + 1}, kVocab, seed);
  Batch batch;
  batch.tokens_BT = text.narrow(1, 0, T).clone();
  batch.targets_BT = text.narrow(1, 1, T).clone();
  for (int64_t i = 4; i < B * T; i += 5) batch.targets_BT.data_ptr<int64_t>()[i] = -1;
  return batch;
}

// With everything else that a batch may have: positions that are not there (a whole sequence's tail
// among them), segments, positions with gaps, weights.
inline Batch ragged_batch(int64_t B, int64_t T, unsigned seed) {
  Batch batch = text_batch(B, T, seed);
  std::mt19937_64 generator(seed);
  const auto chance = [&](double p) { return std::bernoulli_distribution(p)(generator); };
  const at::TensorOptions integer(at::kLong);
  batch.valid_BT = at::full({B, T}, true, at::TensorOptions(at::kBool));
  batch.segment_BT = at::full({B, T}, 0, integer);
  batch.position_BT = at::full({B, T}, 0, integer);
  batch.weight_BT = random_normal({B, T}, seed).abs();
  for (int64_t b = 0; b < B; ++b) {
    const int64_t end = b == 1 ? T - 2 : T;
    int64_t position = 0, segment = 0, spare = kBlock - T;
    for (int64_t t = 0; t < T; ++t) {
      if (spare > 0 && chance(0.3)) ++position, --spare;
      if (t > 0 && chance(0.25)) ++segment;
      const int64_t i = b * T + t;
      batch.position_BT.data_ptr<int64_t>()[i] = position++;
      batch.segment_BT.data_ptr<int64_t>()[i] = segment;
      batch.valid_BT.data_ptr<bool>()[i] = t < end && !chance(0.15);
    }
  }
  return batch;
}

// Sequences [first, first + count), and positions [first, first + count) of all of them.
inline Batch sequences(const Batch& batch, int64_t first, int64_t count) {
  return map_columns(batch,
                     [&](const Tensor& x) { return x.narrow(0, first, count).contiguous(); });
}
inline Batch positions(const Batch& batch, int64_t first, int64_t count) {
  return map_columns(batch,
                     [&](const Tensor& x) { return x.narrow(1, first, count).contiguous(); });
}

// ---- Models

struct Subject {
  ModelConfig config;
  std::unique_ptr<NextTokenModel> model;
  double margin = 1;  // the least distance of a score of the batch from its layer's threshold

  const DepthModel& depth() const { return dynamic_cast<const DepthModel&>(*model); }
  const DepthWalk& walk() const { return depth().walk(); }
  DepthProgram program() const { return depth().program(); }
};

inline WalkOptions walk_options(bool training) {
  WalkOptions options;
  options.training = training;
  options.random = RandomField(5, 1, 0);
  return options;
}

// The middle of the widest gap in the third quarter of the scores, and half its width.
inline std::pair<double, double> widest_gap(std::vector<double> scores) {
  std::sort(scores.begin(), scores.end());
  const size_t n = scores.size();
  EXPECT_GE(n, 4U) << "too few tokens are left for a threshold";
  size_t best = n / 2;
  for (size_t i = best; i + 1 <= 3 * n / 4; ++i)
    if (scores[i + 1] - scores[i] > scores[best + 1] - scores[best]) best = i;
  return {(scores[best] + scores[best + 1]) / 2, (scores[best + 1] - scores[best]) / 2};
}

// Scores of the rows that may halt at the record's step and have not before.
inline std::vector<double> open_scores(const StepRecord& record, const Tensor& targets_R,
                                       bool gold) {
  Tensor open_R = at::full({record.rows->count()}, true, at::TensorOptions(at::kBool));
  if (record.rows->valid_R.defined()) open_R = record.rows->valid_R;
  if (record.done_R.defined()) open_R = open_R.logical_and(record.done_R.logical_not());
  if (gold) open_R = open_R.logical_and(targets_R.ge(0));
  return numbers(record.decision.score_R.masked_select(open_R));
}

// The case's model far from its initial weights, where all scores are alike, with thresholds that
// at each layer some tokens of the batch meet and some do not, by as wide a margin as there is.
inline Subject subject(const Case& c, const Batch& batch, at::ScalarType dtype,
                       bool training = false) {
  const at::NoGradGuard no_grad;
  Subject s;
  s.config = c.config;
  if (c.halts()) {
    const auto L = static_cast<size_t>(c.config.backbone.n_layer);
    s.config.halting.thresholds.assign(L, 2.0);
    const auto model = model_of(s.config, kVocab, at::kDouble);
    disturb(*model, 0.3);
    const DepthPlan plan = make_depth_plan(s.config);
    Policy policy = make_policy(s.config);
    const DepthWalk& walk = dynamic_cast<const DepthModel&>(*model).walk();
    for (size_t i = 0; i < L; ++i) {
      const Trace trace = walk.run(unroll(plan, policy), batch, walk_options(training));
      const auto [threshold, margin] = widest_gap(open_scores(
          *trace.readouts().at(i), trace.all->of(batch.targets_BT), c.gold() && training));
      policy.halting.config.thresholds[i] = threshold;
      s.margin = std::min(s.margin, margin);
    }
    s.config.halting = policy.halting.config;
  }
  s.model = model_of(s.config, kVocab, dtype);
  disturb(*s.model, 0.3);
  return s;
}

// What the trainer minimises on one batch.
inline Tensor objective(const std::vector<LossPart>& parts) {
  Tensor sum;
  for (const LossPart& part : parts) {
    if (part.count == 0) continue;
    const Tensor mean = part.sum / part.count;
    sum = sum.defined() ? sum + mean : mean;
  }
  return sum.defined() ? sum : at::zeros({}).set_requires_grad(true);
}

// The largest difference of two tensors' numbers; infinite where one of them is not a number.
inline double gap(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  const std::vector<double> x = numbers(a), y = numbers(b);
  double largest = 0;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    const double d = x[i] == y[i] ? 0 : std::abs(x[i] - y[i]);
    largest = std::max(largest, std::isnan(d) ? HUGE_VAL : d);
  }
  return largest;
}

// In units of the largest value of `a`, where that is more than 1: deep walks carry states of 1e4,
// whose last bit alone is 2e-12.
inline double relative_gap(const Tensor& a, const Tensor& b) {
  double scale = 1;
  for (const double x : numbers(a))
    if (std::isfinite(x)) scale = std::max(scale, std::abs(x));
  return gap(a, b) / scale;
}

}  // namespace fathom::property
