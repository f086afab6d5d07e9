// What tests of automatic loop exit share: models whose rows leave a loop, and what every rule
// looks at, worked out by hand.
#pragma once

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "model/corridor_program.h"

namespace fathom::testing {

inline constexpr int64_t kExitLoops = 6, kExitRows = kSequences * kLength;
inline constexpr HaltRule kExitRules[] = {
    HaltRule::kLatentChange, HaltRule::kStateChange, HaltRule::kStepNormDiff,
    HaltRule::kAcceleration, HaltRule::kKl,          HaltRule::kKlDiff,
    HaltRule::kKlMinP,       HaltRule::kEntropy,     HaltRule::kArgmax,
    HaltRule::kMax,          HaltRule::kLearned};

enum class ExitBody { kBlock, kRowsAlone, kHalf };

// A loop of one layer, with a gate, and a layer that answers.
inline DepthPlan exit_plan(ExitBody kind, int adapter = 0, bool answers = false) {
  LayerSpec body = block(1, kWidth);
  if (kind != ExitBody::kBlock) body.attention = {};
  if (kind == ExitBody::kHalf) body.mlp = {}, body.norm = {};
  body.wiring = int(kind);
  if (answers) body = with_readout(body, 0);
  LoopGroup loop = loop_of({{body}}, adapter);
  loop.halting_gate.instance = 0;
  DepthPlan plan = plan_of({{loop}, {with_readout(block(2, kWidth), 1)}}, kWidth);
  const Wiring alone = {{{"r", wire::name("r") + wire::mlp(wire::norm(wire::name("r")))}}};
  const Wiring half = {{{"r", wire::number(0.5) * wire::name("r")}}};
  plan.wirings = {pre_norm_wiring(), alone, half};
  return plan;
}

inline Policy exit_policy(HaltRule rule, double threshold, int64_t count = kExitLoops) {
  Policy policy = loops({count});
  HaltingPolicy& halting = policy.loops[0].halting;
  halting.config.rule = rule;
  halting.config.threshold = threshold;
  halting.keys = KeyFate::kFrozen;
  halting.in_training = false;
  return policy;
}

inline std::unique_ptr<DepthModel> exit_model(const DepthPlan& plan, const Policy& policy) {
  return model_of_plan(plan, policy, {term_of({0, 1})});
}

// After how many iterations each row of the batch left.
inline std::vector<int64_t> exits_of(const Trace& trace, int64_t count = kExitLoops) {
  std::vector<int64_t> exits(size_t(trace.all->count()), count);
  for (const LoopRecord& r : trace.loop_ends)
    for (int64_t i = 0; i < r.rows->count(); ++i)
      if (r.decision.halts_R[i].item<bool>())
        exits[size_t(r.rows->source()[i].item<int64_t>())] = r.place.iteration + 1;
  return exits;
}

// What the rules look at, of a walk in which nobody leaves: x_k, u_k and the distributions of both.
class FreeWalk {
 public:
  FreeWalk(const DepthModel& model, const Batch& batch, int64_t count = kExitLoops)
      : model_(model) {
    trace_ = run_kept(model.walk(), unroll(model.walk().plan(), loops({count})), batch, {});
  }
  const Tensor& x(int64_t k) const { return trace_.door(size_t(k)).r_RC; }
  Tensor u(int64_t k) const {
    const auto& adapters = model_.walk().params().adapter;
    if (adapters.empty()) return k == 0 ? x(0) : x(0) + x(k);
    const LinearParams& a = adapters.at(0);
    return at::cat({x(0), x(k)}, 1).matmul(a.weight.t()) + a.bias;
  }
  Tensor p(const Tensor& x_RC) const {
    const Params& params = model_.walk().params();
    const NormParams& n = params.norm({NormId::kOut, 0});
    const Tensor centred = x_RC - x_RC.mean(1, true);
    const Tensor variance = centred.pow(2).mean(1, true);
    const Tensor n_RC =
        centred / (variance + corridor_backbone().norm_eps).sqrt() * n.weight + n.bias;
    const LinearParams& head = params.head.at(0);
    return (n_RC.matmul(head.weight.t()) + head.bias).softmax(1);
  }
  Tensor score(HaltRule rule, int64_t k) const {
    const Tensor none =
        at::full({x(0).size(0)}, std::numeric_limits<double>::quiet_NaN(), x(0).options());
    switch (rule) {
      case HaltRule::kLatentChange:
        return k == 0 ? none : length(x(k + 1) - x(k)) / length(x(k + 1));
      case HaltRule::kStateChange:
        return k == 0 ? none : d(k);
      case HaltRule::kStepNormDiff:
        return k == 0 ? none : (d(k) - d(k - 1)).abs();
      case HaltRule::kAcceleration:
        return k == 0 ? none : length(x(k + 1) - u(k) - x(k) + u(k - 1));
      case HaltRule::kKl:
        return k == 0 ? none : kl(x(k + 1), x(k));
      case HaltRule::kKlMinP:
        return k == 0 ? none : kl_of(likely(p(x(k + 1))), likely(p(x(k))));
      case HaltRule::kKlDiff:
        return k == 0 ? none : (kl(x(k + 1), u(k)) - kl(x(k), u(k - 1))).abs();
      case HaltRule::kEntropy:
        return k == 0 ? none : (entropy_of(x(k + 1)) - entropy_of(x(k))).abs();
      case HaltRule::kArgmax:
        return age(k);
      case HaltRule::kLearned: {
        const LinearParams& gate = model_.walk().params().halting_gate.at(0);
        return 1 / (1 + (-(x(k + 1).matmul(gate.weight.t()) + gate.bias)).exp()).squeeze(1);
      }
      default:
        return p(x(k + 1)).amax(1);
    }
  }
  // By which rows leave at as many different places as there can be; no row's score is near it.
  double threshold(HaltRule rule) const {
    if (rule == HaltRule::kArgmax) return 2;
    std::vector<double> all;
    for (int64_t k = 0; k < kExitLoops - 1; ++k) {
      const Tensor score_R = score(rule, k).contiguous();
      for (int64_t i = 0; i < score_R.numel(); ++i)
        if (const double s = score_R.data_ptr<double>()[i]; std::isfinite(s)) all.push_back(s);
    }
    std::sort(all.begin(), all.end());
    double best = 0;
    size_t most = 0;
    for (size_t i = 0; i + 1 < all.size(); i += 2) {
      if (all[i + 1] - all[i] < 1e-6 * all[i + 1]) continue;
      const double middle = (all[i] + all[i + 1]) / 2;
      const std::vector<int64_t> left = exits(rule, middle);
      const size_t kinds = std::set<int64_t>(left.begin(), left.end()).size();
      if (kinds > most) most = kinds, best = middle;
    }
    return best;
  }
  std::vector<int64_t> exits(HaltRule rule, double threshold, int64_t count = kExitLoops) const {
    std::vector<int64_t> exits(size_t(x(0).size(0)), count);
    for (int64_t k = count - 2; k >= 0; --k) {
      const Tensor score_R = score(rule, k);
      for (size_t i = 0; i < exits.size(); ++i) {
        const double s = score_R[int64_t(i)].item<double>();
        if (is_change(rule) ? s < threshold : s >= threshold) exits[i] = k + 1;
      }
    }
    return exits;
  }
  // Each row as it left.
  Tensor left(const std::vector<int64_t>& exits) const {
    std::vector<Tensor> rows;
    for (size_t i = 0; i < exits.size(); ++i) rows.push_back(x(exits[i])[int64_t(i)]);
    return at::stack(rows);
  }

 private:
  static Tensor length(const Tensor& x_RC) { return x_RC.pow(2).sum(1).sqrt(); }
  Tensor d(int64_t k) const { return length(x(k + 1) - u(k)); }
  static Tensor kl_of(const Tensor& a_RV, const Tensor& b_RV) {
    return (a_RV * (a_RV / b_RV).log()).sum(1);
  }
  Tensor kl(const Tensor& a_RC, const Tensor& b_RC) const { return kl_of(p(a_RC), p(b_RC)); }
  // Tokens below a tenth of the likeliest one's probability have 1 / V.
  static Tensor likely(const Tensor& p_RV) {
    const Tensor kept_RV = at::where(p_RV.lt(p_RV.amax(1, true) / 10),
                                     at::full_like(p_RV, 1.0 / double(kVocab)), p_RV);
    return kept_RV / kept_RV.sum(1, true);
  }
  Tensor entropy_of(const Tensor& x_RC) const { return -(p(x_RC) * p(x_RC).log()).sum(1); }
  Tensor age(int64_t k) const {
    if (k == 0) return at::full_like(p(x(1)).amax(1), 0);
    const Tensor stays = p(x(k + 1)).argmax(1).eq(p(x(k)).argmax(1)).to(at::kDouble);
    return (age(k - 1) + 1) * stays;
  }

  const DepthModel& model_;
  KeptTrace trace_;
};

}  // namespace fathom::testing
