#include "fathom/model/walk/loop_rule.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "fathom/base/error.h"
#include "fathom/ops/few_rows.h"
#include "fathom/ops/score_rows.h"
#include "fathom/ops/tensor_pool.h"

namespace fathom {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kScoresAtOnce = 1 << 23;  // 64 MiB of float64, where there are no kernels

// f(first, count) -> (count) of so many rows at a time, one behind the other.
template <class F>
Tensor in_pieces(int64_t rows, int64_t vocab_size, const F& f) {
  const int64_t at_once = std::max<int64_t>(1, kScoresAtOnce / vocab_size);
  if (rows <= at_once) return f(0, rows);
  std::vector<Tensor> pieces;
  for (int64_t first = 0; first < rows; first += at_once)
    pieces.push_back(f(first, std::min(at_once, rows - first)));
  return at::cat(pieces);
}

// (count, V)
Tensor scores(const Tensor& n_RC, int64_t first, int64_t count, const LinearParams& head) {
  return linear(count == n_RC.size(0) ? n_RC : n_RC.narrow(0, first, count), head.weight,
                head.bias);
}

// One rule at one end.
class LoopRule {
 public:
  LoopRule(const IterationEnd& end, LoopMemory& memory)
      : end_(end), memory_(memory), rule_(end.halting.config.rule) {
    if (!end.read_asked_only || !end.asked_R.defined()) return;
    some_ = places_of(end.asked_R);
    if (some_.numel() == rows()) some_ = Tensor();
  }

  LoopDecision run() {
    LoopDecision d;
    d.score_R = score();
    const double threshold = end_.halting.config.threshold_at(static_cast<size_t>(end_.layer));
    if (is_change(rule_))
      d.halts_R = below(d.score_R, threshold);
    else if (rule_ == HaltRule::kLowEntropy)
      d.halts_R = at_most(d.score_R, threshold);
    else
      d.halts_R =
          at_least(d.score_R, rule_ == HaltRule::kArgmax ? std::max(threshold, 1.0) : threshold);
    d.halts_R = both(d.halts_R, end_.asked_R);
    d.read = read_;
    return d;
  }

 private:
  int64_t rows() const { return end_.state_RC.size(0); }

  Tensor score() {
    switch (rule_) {
      case HaltRule::kLatentChange: {
        const Tensor change_R = distances(end_.state_RC, remember(end_.state_RC));
        return of_unit(quotients(change_R, lengths(end_.state_RC)));
      }
      case HaltRule::kStateChange: {
        const Tensor d_R = of_unit(distances(end_.state_RC, memory_.input_RC));
        return where_known(d_R, past(d_R));
      }
      case HaltRule::kStepNormDiff:
        return change(of_unit(distances(end_.state_RC, memory_.input_RC)));
      case HaltRule::kAcceleration: {
        const Tensor s_RC = minus(end_.state_RC, memory_.input_RC);
        return of_unit(distances(s_RC, remember(s_RC)));
      }
      case HaltRule::kKl: {
        const bool first = !memory_.state_RC.defined();
        const Tensor before_RC = remember(end_.state_RC);
        if (end_.heads != nullptr) return divergence_by_heads(before_RC);
        return of_unit(first ? nothing() : divergence_from(before_RC));
      }
      case HaltRule::kKlMinP: {
        const bool first = !memory_.state_RC.defined();
        const Tensor before_RC = remember(end_.state_RC);
        return of_unit(first ? nothing() : divergence_from(before_RC, divergence_min_p));
      }
      case HaltRule::kConverge: {
        const Tensor change_R = distances(end_.state_RC, remember(end_.state_RC));
        const auto C = static_cast<double>(end_.state_RC.size(1));
        return quotients(products(change_R, change_R), numbers_like(end_.state_RC, rows(), C));
      }
      case HaltRule::kMargin:
        return of_head(
            [&](const Tensor& n_RC) { return margin(n_RC, end_.head, end_.scores_temperature); });
      case HaltRule::kLowEntropy:
        return of_head(
            [&](const Tensor& n_RC) { return entropy(n_RC, end_.head, end_.scores_temperature); });
      case HaltRule::kKlDiff:
        return change(of_unit(divergence_from(memory_.input_RC)));
      case HaltRule::kEntropy:
        return change(of_unit(entropies()));
      case HaltRule::kArgmax:
        return age(in_double(reading().prediction_R));
      case HaltRule::kLearned:
        return of_unit(
            sigmoids(linear(end_.state_RC, end_.gate.weight, end_.gate.bias)).squeeze(1));
      default:
        return of_unit(exps(reading().ln_max_confidence_R));
    }
  }

  // |now - before|, and `now` is kept.
  Tensor change(const Tensor& now_R) { return gaps(now_R, past(now_R)); }

  // What was there before, and x in its place.
  Tensor remember(const Tensor& x_RC) {
    const Tensor before_RC = memory_.state_RC;
    memory_.state_RC = x_RC;
    return before_RC.defined() ? before_RC : filled_like(x_RC, kNone);
  }
  Tensor past(const Tensor& now_R) {
    const Tensor before_RM = memory_.past_RM;
    memory_.past_RM = now_R.unsqueeze(1);
    return before_RM.defined() ? before_RM.squeeze(1) : filled_like(now_R, kNone);
  }

  // For how many iterations the token has stayed; of a sequence, all of its tokens.
  Tensor age(const Tensor& token_R) {
    if (end_.halting.unit == HaltUnit::kToken && token_R.is_cpu()) return own_age(token_R);
    const Tensor before_RM = memory_.past_RM.defined()
                                 ? memory_.past_RM
                                 : at::full({token_R.size(0), 2}, kNone, token_R.options());
    const Tensor same_R = of_unit(token_R.eq(before_RM.select(1, 0)).to(at::kDouble)).eq(1);
    const Tensor age_R = at::where(same_R, before_RM.select(1, 1) + 1, at::zeros_like(token_R));
    memory_.past_RM = at::stack({token_R, age_R}, 1);
    return age_R;
  }

  // Of tokens alone, on the processor.
  Tensor own_age(const Tensor& token_R) {
    const int64_t R = token_R.size(0);
    const Tensor before_R2 = memory_.past_RM.defined() ? memory_.past_RM.contiguous() : Tensor();
    if (before_R2.defined() && before_R2.size(0) != R)
      fail(fmt::format("a loop remembers {} rows and ends with {}", before_R2.size(0), R));
    const auto* before = before_R2.defined() ? before_R2.data_ptr<double>() : nullptr;
    Tensor now_R2 = new_tensor({R, 2}, at::kDouble), age_R = new_tensor({R}, at::kDouble);
    auto *now = now_R2.data_ptr<double>(), *age = age_R.data_ptr<double>();
    const auto* token = token_R.data_ptr<double>();
    for (int64_t i = 0; i < R; ++i) {
      const bool stays = before != nullptr && before[2 * i] == token[i];
      now[2 * i] = token[i];
      now[2 * i + 1] = age[i] = stays ? before[2 * i + 1] + 1 : 0;
    }
    memory_.past_RM = now_R2;
    return age_R;
  }

  // The mean over the rows of its sequence that are asked, or the row's own.
  Tensor of_unit(const Tensor& x_R) const {
    const Tensor x = in_double(x_R);
    if (end_.halting.unit == HaltUnit::kToken) return x;
    const Tensor counts_R =
        end_.asked_R.defined() ? end_.asked_R.to(at::kDouble) : at::ones_like(x);
    const Tensor asked_R2 = at::stack({x.masked_fill(counts_R.eq(0), 0), counts_R}, 1);
    const int64_t B = end_.rows.batch(), longest = end_.rows.longest();
    const Tensor sums_B2 = end_.rows.pad(asked_R2).view({B, longest, 2}).sum(1);
    const Tensor mean_B1 = sums_B2.select(1, 0).div(sums_B2.select(1, 1)).unsqueeze(1);
    return end_.rows.unpad(mean_B1.unsqueeze(1).expand({B, longest, 1}).contiguous()).squeeze(1);
  }

  // (R) of what f makes of the rows that are read out; NaN of the others.
  template <class F>
  Tensor read(const F& f) {
    if (!some_.defined()) return f([](const Tensor& x) { return x; });
    if (some_.numel() == 0) return nothing();
    const Tensor x_K = f([this](const Tensor& x) { return take_rows(x, some_); });
    return put_rows(nothing(), some_, in_double(x_K));
  }
  Tensor nothing() const { return numbers_like(end_.state_RC, rows(), kNone); }
  int64_t read_rows() const { return some_.defined() ? some_.numel() : rows(); }

  using Divergence = Tensor(const Tensor& a_RC, const Tensor& b_RC, const LinearParams& head);
  Tensor divergence_from(const Tensor& other_RC, Divergence& measure = divergence) {
    read_ += 2 * read_rows();
    return read([&](const auto& some) {
      return measure(end_.last_norm(some(end_.state_RC)), end_.last_norm(some(other_RC)),
                     end_.head);
    });
  }
  Tensor entropies() {
    return of_head([&](const Tensor& n_RC) { return entropy(n_RC, end_.head); });
  }
  // f of what the head is given.
  template <class F>
  Tensor of_head(const F& f) {
    read_ += read_rows();
    return read([&](const auto& some) { return f(end_.last_norm(some(end_.state_RC))); });
  }
  // From what each row's last head made of its last state; rows that had none have none.
  Tensor divergence_by_heads(const Tensor& before_RC) {
    const Tensor here_R =
        numbers_like(end_.state_RC, rows(), static_cast<double>(end_.head_number));
    const Tensor last_R = past(here_R);
    Tensor score_R = nothing();
    for (const auto& [number, head] : *end_.heads) {
      Tensor of_it_R = both(at_least(last_R, number), at_most(last_R, number));
      if (end_.read_asked_only) of_it_R = both(of_it_R, end_.asked_R);
      const Tensor rows_K = places_of(of_it_R);
      if (rows_K.numel() == 0) continue;
      read_ += 2 * rows_K.numel();
      score_R = put_rows(score_R, rows_K,
                         divergence(take_rows(end_.state_RC, rows_K), end_.head,
                                    take_rows(before_RC, rows_K), head, end_.scores_temperature));
    }
    return score_R;
  }
  Reading reading() {
    if (end_.reading.ln_max_confidence_R.defined()) return end_.reading;
    read_ += read_rows();
    ReadoutRequest request;
    request.confidence_temperature = end_.temperature;
    const Tensor n_RC = end_.last_norm(end_.state_RC);
    return some_.defined() ? readout_of_some(n_RC, some_, end_.head, request)
                           : readout(n_RC, end_.head, request);
  }

  const IterationEnd& end_;
  LoopMemory& memory_;
  HaltRule rule_;
  Tensor some_;  // indices of those that are read out; undefined: all
  int64_t read_ = 0;
};

}  // namespace

LoopDecision decide(const IterationEnd& end, LoopMemory& memory) {
  const at::NoGradGuard no_grad;
  if (compares_with_input(end.halting.config.rule) && !memory.input_RC.defined())
    fail("a loop's rule compares with the loop's input, and nobody has kept it");
  return LoopRule(end, memory).run();
}

bool compares_with_input(HaltRule rule) {
  return rule == HaltRule::kStateChange || rule == HaltRule::kStepNormDiff ||
         rule == HaltRule::kAcceleration || rule == HaltRule::kKlDiff;
}

Tensor divergence(const Tensor& a_RC, const Tensor& b_RC, const LinearParams& head) {
  return divergence(a_RC, head, b_RC, head, 1);
}

Tensor divergence(const Tensor& a_RC, const LinearParams& head_of_a, const Tensor& b_RC,
                  const LinearParams& head_of_b, double temperature) {
  const at::NoGradGuard no_grad;
  return in_pieces(a_RC.size(0), head_of_a.weight.size(0), [&](int64_t first, int64_t count) {
    return divergences(scores(a_RC, first, count, head_of_a), scores(b_RC, first, count, head_of_b),
                       temperature);
  });
}

Tensor divergence_min_p(const Tensor& a_RC, const Tensor& b_RC, const LinearParams& head) {
  const at::NoGradGuard no_grad;
  return in_pieces(a_RC.size(0), head.weight.size(0), [&](int64_t first, int64_t count) {
    return divergences_min_p(scores(a_RC, first, count, head), scores(b_RC, first, count, head));
  });
}

Tensor entropy(const Tensor& n_RC, const LinearParams& head, double temperature) {
  const at::NoGradGuard no_grad;
  return in_pieces(n_RC.size(0), head.weight.size(0), [&](int64_t first, int64_t count) {
    return entropies(scores(n_RC, first, count, head), temperature);
  });
}

Tensor margin(const Tensor& n_RC, const LinearParams& head, double temperature) {
  const at::NoGradGuard no_grad;
  return in_pieces(n_RC.size(0), head.weight.size(0), [&](int64_t first, int64_t count) {
    return margins(scores(n_RC, first, count, head), temperature);
  });
}

}  // namespace fathom
