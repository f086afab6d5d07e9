#include "fathom/ops/attention_form.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "fathom/ops/autocast.h"
#include "fathom/ops/fused.h"
#include "fathom/ops/plain.h"

namespace fathom {
namespace {

constexpr int64_t kQueriesAtATime = 128;

AttentionMask seen_in(const AttentionForm& form, AttentionMask mask) {
  mask.strict = form.strict;
  return mask;
}

// (B, K, H * D) -> (B, H, K, D)
Tensor by_head(const Tensor& x_BKC, int64_t n_head) {
  return x_BKC.reshape({x_BKC.size(0), x_BKC.size(1), n_head, x_BKC.size(2) / n_head})
      .transpose(1, 2);
}

// Zeros where no key is seen: a row of -inf has no softmax.
Tensor softmax(const Tensor& scores_BHQK, const Tensor& blocked, bool sink) {
  const double infinity = std::numeric_limits<double>::infinity();
  if (sink) {
    const Tensor none = scores_BHQK.masked_fill(blocked, -infinity);
    const Tensor zero = at::zeros({none.size(0), none.size(1), none.size(2), 1}, none.options());
    return at::softmax(at::cat({none, zero}, -1), -1).narrow(-1, 0, none.size(3));
  }
  const Tensor empty = blocked.all(-1, /*keepdim=*/true);
  const Tensor hidden = blocked.logical_and(empty.logical_not());
  return at::softmax(scores_BHQK.masked_fill(hidden, -infinity), -1).masked_fill(empty, 0);
}

Tensor weights(const Tensor& q_BQC, const Tensor& k_BKC, int64_t n_head, const Tensor& blocked,
               const AttentionForm& form) {
  const double scale = 1 / std::sqrt(static_cast<double>(q_BQC.size(2) / n_head));
  const Tensor scores_BHQK =
      at::matmul(by_head(q_BQC, n_head) * scale, by_head(k_BKC, n_head).transpose(-2, -1));
  if (form.weights == AttentionForm::kSoftmax) return softmax(scores_BHQK, blocked, form.sink);
  const Tensor seen = blocked.logical_not().sum(-1, /*keepdim=*/true).clamp_min(1);
  return (scores_BHQK - seen.to(scores_BHQK.scalar_type()).log()).sigmoid().masked_fill(blocked, 0);
}

Tensor mixed(const Tensor& weights_BHQK, const Tensor& v_BKE, const AttentionForm& form) {
  const int64_t B = weights_BHQK.size(0), H = weights_BHQK.size(1), Q = weights_BHQK.size(2);
  const int64_t K = weights_BHQK.size(3), E = v_BKE.size(2);
  switch (form.values) {
    case AttentionForm::kSum:  // weights are added before they meet the values: H times less work
      return at::matmul(weights_BHQK.sum(1), v_BKE);
    case AttentionForm::kMean:
      return at::matmul(weights_BHQK.mean(1), v_BKE);
    case AttentionForm::kConcat:  // one product of all heads' queries with the values
      return at::matmul(weights_BHQK.reshape({B, H * Q, K}), v_BKE)
          .view({B, H, Q, E})
          .transpose(1, 2)
          .reshape({B, Q, H * E});
    case AttentionForm::kByHead:
      break;
  }
  return at::matmul(weights_BHQK, by_head(v_BKE, H)).transpose(1, 2).reshape({B, Q, E});
}

// What is not tensors of one piece of attention.
struct Setting : torch::CustomClassHolder {
  int64_t n_head = 0;
  Tensor blocked;  // (Q, K) or (B, Q, K): the mask itself lives no longer than a call
  std::shared_ptr<const WeightDropout> dropout;
  AttentionForm form;
};
using SettingPtr = c10::intrusive_ptr<Setting>;

// The definition.
Tensor whole(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKE, const Setting& s) {
  const Tensor blocked = s.blocked.dim() == 3 ? s.blocked.unsqueeze(1) : s.blocked;
  Tensor weights_BHQK = weights(q_BQC, k_BKC, s.n_head, blocked, s.form);
  if (s.dropout != nullptr)
    weights_BHQK = weights_BHQK * s.dropout->multipliers(s.n_head, weights_BHQK);
  return mixed(weights_BHQK, v_BKE, s.form);
}

// Of queries [first, first + count).
Setting piece_of(const Setting& s, int64_t first, int64_t count) {
  Setting piece = s;
  piece.blocked = s.blocked.narrow(-2, first, count);
  if (s.dropout == nullptr) return piece;
  WeightDropout draws = *s.dropout;
  const auto B = static_cast<int64_t>(draws.streams.size());
  const int64_t Q = B == 0 ? 0 : static_cast<int64_t>(draws.query_positions.size()) / B;
  std::vector<int64_t> positions;
  for (int64_t b = 0; b < B; ++b) {
    const auto from = draws.query_positions.begin() + b * Q + first;
    positions.insert(positions.end(), from, from + count);
  }
  draws.query_positions = std::move(positions);
  piece.dropout = std::make_shared<const WeightDropout>(std::move(draws));
  return piece;
}

// f(first query, their number) for each piece.
template <class F>
void each_piece(int64_t Q, const F& f) {
  for (int64_t first = 0; first < Q; first += kQueriesAtATime)
    f(first, std::min(kQueriesAtATime, Q - first));
}

Tensor in_pieces(const Tensor& q, const Tensor& k, const Tensor& v, const Setting& s) {
  std::vector<Tensor> pieces;
  each_piece(q.size(1), [&](int64_t first, int64_t count) {
    pieces.push_back(whole(q.narrow(1, first, count), k, v, piece_of(s, first, count)));
  });
  return at::cat(pieces, 1);
}

// Weights of all queries and keys would be large: a piece of them is there at a time, and again in
// the backward pass.
class PiecesFunction : public torch::autograd::Function<PiecesFunction> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& q, const Tensor& k,
                        const Tensor& v, const SettingPtr& setting) {
    ctx->save_for_backward({q, k, v});
    ctx->saved_data["setting"] = c10::IValue::make_capsule(setting);
    return in_pieces(q, k, v, *setting);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& gradients) {
    const auto setting =
        c10::static_intrusive_pointer_cast<Setting>(ctx->saved_data["setting"].toCapsule());
    torch::autograd::variable_list in;
    for (const Tensor& x : ctx->get_saved_variables())
      in.push_back(x.detach().set_requires_grad(true));
    const Tensor &q = in[0], &k = in[1], &v = in[2];
    std::vector<Tensor> d_q;
    Tensor d_k = at::zeros_like(k), d_v = at::zeros_like(v);
    const at::AutoGradMode graph(true);
    each_piece(q.size(1), [&](int64_t first, int64_t count) {
      const Tensor rows = q.detach().narrow(1, first, count).set_requires_grad(true);
      const Tensor out = whole(rows, k, v, piece_of(*setting, first, count));
      const auto d =
          torch::autograd::grad({out}, {rows, k, v}, {gradients[0].narrow(1, first, count)});
      d_q.push_back(d[0]);
      d_k.add_(d[1]);
      d_v.add_(d[2]);
    });
    return {at::cat(d_q, 1), d_k, d_v, {}};
  }
};

}  // namespace

Tensor attention(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKE, int64_t n_head,
                 const AttentionMask& given, const std::shared_ptr<const WeightDropout>& dropout,
                 const AttentionForm& form) {
  const AttentionMask mask = seen_in(form, given);
  if (form.usual_heads()) return attention(q_BQC, k_BKC, v_BKE, n_head, mask, dropout);
  if (has_kernels(q_BQC) && fused::attention_fits(q_BQC.size(2), v_BKE.size(2), n_head, form))
    return fused::attention(q_BQC, k_BKC, v_BKE, n_head, mask, dropout, form);
  auto setting = c10::make_intrusive<Setting>();
  setting->n_head = n_head;
  setting->blocked = plain::blocked_pairs(mask, q_BQC.device());
  setting->dropout = dropout;
  setting->form = form;
  const bool casts = autocast::is_on(at::kCPU) || autocast::is_on(at::kCUDA);
  if (q_BQC.size(1) <= kQueriesAtATime || casts) return whole(q_BQC, k_BKC, v_BKE, *setting);
  if (!at::GradMode::is_enabled()) return in_pieces(q_BQC, k_BKC, v_BKE, *setting);
  return PiecesFunction::apply(q_BQC, k_BKC, v_BKE, setting);
}

Tensor attention_of_rows(const Tensor& rows_RC, const KeptKeys& kept, int64_t n_head,
                         const AttentionForm& form) {
  const AttentionMask mask = seen_in(form, kept.mask);
  const int64_t B = kept.k_BCK.size(0), C = kept.k_BCK.size(1);
  const KeptKeys seen = {kept.k_BCK, kept.v_BKC, mask};
  if (form.usual_heads()) return attention_of_rows(rows_RC, seen, n_head);
  if (has_kernels(rows_RC) && fused::attention_fits(C, kept.v_BKC.size(2), n_head, form))
    return fused::attention_of_rows(rows_RC, seen, n_head, form);
  const int64_t Q = mask.queries.longest(), K = mask.keys.longest();
  const Tensor q_BQC = rows_RC.narrow(1, 0, C).reshape({B, Q, C});
  const Tensor k_BKC = kept.k_BCK.narrow(2, 0, K).transpose(1, 2);
  const Tensor out =
      attention(q_BQC, k_BKC, kept.v_BKC.narrow(1, 0, K), n_head, mask, nullptr, form);
  return out.reshape({rows_RC.size(0), out.size(2)});
}

}  // namespace fathom
