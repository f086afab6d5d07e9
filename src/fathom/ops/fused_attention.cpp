// Attention over kernels/attention.h.
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fathom/ops/fused.h"
#include "fathom/ops/seen_keys.h"

namespace fathom::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// What backward needs besides tensors.
struct Setting : torch::CustomClassHolder {
  SeenKeys seen;
  int64_t n_head = 0;
  std::shared_ptr<const WeightDropout> dropout;
  AttentionForm form;
};

using SettingPtr = c10::intrusive_ptr<Setting>;

SettingPtr make_setting(const AttentionMask& mask, int64_t n_head,
                        const std::shared_ptr<const WeightDropout>& dropout,
                        const AttentionForm& form = {}) {
  auto s = c10::make_intrusive<Setting>();
  s->n_head = n_head;
  s->dropout = dropout;
  s->form = form;
  s->seen.find(mask);
  return s;
}

// The last dimension's elements must be neighbours.
Tensor with_rows(const Tensor& x) {
  return x.stride(-1) == 1 || x.size(-1) <= 1 ? x : x.contiguous();
}

// Of a head's value, or of the one that they share.
int64_t value_width(int64_t C_of_values, int64_t n_head, const AttentionForm& form) {
  return form.values == AttentionForm::kByHead ? C_of_values / n_head : C_of_values;
}

int64_t out_width(const AttentionProblem& p) {
  return p.form.adds_heads() ? p.E : p.H * p.E;
}

HeadRows head_rows(const Tensor& x_BTC) {
  return {x_BTC.data_ptr<float>(), x_BTC.stride(0), x_BTC.stride(1)};
}

AttentionProblem problem(const Setting& s, const Tensor& q, const Tensor& k, const Tensor& v) {
  AttentionProblem p;
  p.B = q.size(0), p.Q = q.size(1), p.K = k.size(1), p.H = s.n_head;
  p.D = q.size(2) / s.n_head, p.E = value_width(v.size(2), s.n_head, s.form);
  p.form = s.form;
  p.q = head_rows(q), p.k = head_rows(k), p.v = head_rows(v);
  s.seen.tell(p);
  if (s.dropout == nullptr) return p;
  const WeightDropout& d = *s.dropout;
  p.dropout = {d.p,   d.seed, d.streams.data(), d.query_positions.data(), d.key_positions.data(),
               d.span};
  return p;
}

struct Forward {
  Tensor out_BQC, lse_BHQ;
};

Forward run(const Setting& s, const Tensor& q, const Tensor& k, const Tensor& v) {
  const AttentionProblem p = problem(s, q, k, v);
  Forward f = {new_tensor({p.B, p.Q, out_width(p)}), new_tensor({p.B, p.H, p.Q})};
  attention_forward(p, head_rows(f.out_BQC), f.lse_BHQ.data_ptr<float>());
  return f;
}

void run_backward(const Setting& s, const Tensor& lse_BHQ, const Tensor& gradient, const Tensor& q,
                  const Tensor& k, const Tensor& v, const Tensor& d_q, const Tensor& d_k,
                  const Tensor& d_v) {
  attention_backward(problem(s, q, k, v), lse_BHQ.data_ptr<float>(), head_rows(with_rows(gradient)),
                     head_rows(d_q), head_rows(d_k), head_rows(d_v));
}

SettingPtr setting_of(AutogradContext* ctx) {
  return c10::static_intrusive_pointer_cast<Setting>(ctx->saved_data["setting"].toCapsule());
}

class AttentionFunction : public Function<AttentionFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& q, const Tensor& k, const Tensor& v,
                        const SettingPtr& setting) {
    const Forward f = run(*setting, q, k, v);
    ctx->save_for_backward({q, k, v, f.lse_BHQ});
    ctx->saved_data["setting"] = c10::IValue::make_capsule(setting);
    return f.out_BQC;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2];
    const auto like = [](const Tensor& x) { return new_tensor(x.sizes()); };
    variable_list out = {like(q), like(k), like(v), {}};
    run_backward(*setting_of(ctx), saved[3], gradients[0], q, k, v, out[0], out[1], out[2]);
    return out;
  }
};

// One gradient for all three instead of three that are put together.
class JointAttentionFunction : public Function<JointAttentionFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& qkv, const SettingPtr& setting) {
    const std::vector<Tensor> x = qkv.chunk(3, -1);
    const Forward f = run(*setting, x[0], x[1], x[2]);
    ctx->save_for_backward({qkv, f.lse_BHQ});
    ctx->saved_data["setting"] = c10::IValue::make_capsule(setting);
    return f.out_BQC;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const Tensor d_qkv = new_tensor(saved[0].sizes());
    const std::vector<Tensor> x = saved[0].chunk(3, -1), d = d_qkv.chunk(3, -1);
    run_backward(*setting_of(ctx), saved[1], gradients[0], x[0], x[1], x[2], d[0], d[1], d[2]);
    return {d_qkv, {}};
  }
};

}  // namespace

namespace {

void check_rows(const AttentionRows& rows, int64_t B, int64_t longest) {
  TORCH_CHECK(rows.batch() == B && (B == 0 || rows.longest() == longest), "a mask of ",
              rows.batch(), " sequences of ", rows.longest(), " rows for ", B, " of ", longest);
}

// Of as many rows as the positions, and where kernels can read it.
void check_by_row(const Tensor& x, const AttentionRows& rows) {
  TORCH_CHECK(!x.defined() || (x.is_cpu() && x.is_contiguous() &&
                               x.numel() == static_cast<int64_t>(rows.positions.size())),
              "a mask of ", x.numel(), " values for ", rows.positions.size(), " rows");
}

void check_mask(const AttentionMask& mask, int64_t B, int64_t Q, int64_t K) {
  check_rows(mask.queries, B, Q);
  check_rows(mask.keys, B, K);
  check_by_row(mask.queries.segments, mask.queries);
  for (const Tensor* x : {&mask.keys.segments, &mask.valid, &mask.hidden})
    check_by_row(*x, mask.keys);
}

void check_shapes(const Tensor& q, const Tensor& k, const Tensor& v, int64_t n_head,
                  const AttentionMask& mask, const AttentionForm& form = {}) {
  const int64_t B = q.size(0), Q = q.size(1), K = k.size(1);
  TORCH_CHECK(k.size(0) == B && v.size(0) == B && v.size(1) == K && k.size(2) == q.size(2) &&
                  q.size(2) % n_head == 0 &&
                  (form.values != AttentionForm::kByHead || v.size(2) % n_head == 0),
              "attention of ", n_head, " heads of [", q.sizes(), "] over [", k.sizes(), "] and [",
              v.sizes(), "]");
  check_mask(mask, B, Q, K);
}

}  // namespace

bool attention_fits(int64_t C, int64_t C_of_values, int64_t n_head, const AttentionForm& form) {
  return fathom::attention_fits(C / n_head, value_width(C_of_values, n_head, form), form);
}

Tensor attention(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKC, int64_t n_head,
                 const AttentionMask& mask, const std::shared_ptr<const WeightDropout>& dropout,
                 const AttentionForm& form) {
  check_shapes(q_BQC, k_BKC, v_BKC, n_head, mask, form);
  const Tensor q = with_rows(q_BQC), k = with_rows(k_BKC), v = with_rows(v_BKC);
  const SettingPtr setting = make_setting(mask, n_head, dropout, form);
  if (!at::GradMode::is_enabled()) return run(*setting, q, k, v).out_BQC;
  return AttentionFunction::apply(q, k, v, setting);
}

Tensor attention(const Tensor& qkv_BTC, int64_t n_head, const AttentionMask& mask,
                 const std::shared_ptr<const WeightDropout>& dropout) {
  const Tensor qkv = with_rows(qkv_BTC);
  const std::vector<Tensor> parts = qkv.chunk(3, -1);
  check_shapes(parts[0], parts[1], parts[2], n_head, mask);
  const SettingPtr setting = make_setting(mask, n_head, dropout);
  if (at::GradMode::is_enabled()) return JointAttentionFunction::apply(qkv, setting);
  return run(*setting, parts[0], parts[1], parts[2]).out_BQC;
}

Tensor attention_of_rows(const Tensor& rows_RC, const KeptKeys& kept, int64_t n_head,
                         const AttentionForm& form) {
  const Tensor x = with_rows(rows_RC);
  AttentionProblem p;
  const Tensor &k = kept.k_BCK, &v = kept.v_BKC;
  p.B = k.size(0), p.Q = kept.mask.queries.longest(), p.K = kept.mask.keys.longest();
  p.H = n_head;
  p.D = k.size(1) / n_head, p.E = value_width(v.size(2), n_head, form);
  p.form = form;
  TORCH_CHECK(x.size(0) == p.B * p.Q && x.size(1) >= p.H * p.D && p.K <= k.size(2) &&
                  p.K <= v.size(1) && v.size(0) == p.B && k.stride(2) == 1 && v.stride(2) == 1,
              "attention of [", x.sizes(), "] to ", p.K, " of [", k.sizes(), "] and [", v.sizes(),
              "]");
  p.q = {floats(x), p.Q * x.stride(0), x.stride(0)};
  p.k = {floats(k), k.stride(0), 1};
  p.k_channel_stride = k.stride(1);
  p.v = head_rows(v);
  check_mask(kept.mask, p.B, p.Q, p.K);
  thread_local SeenKeys seen;
  seen.find(kept.mask);
  seen.tell(p);
  const int64_t width = out_width(p);
  const Tensor out_RC = new_tensor({p.B * p.Q, width});
  attention_forward(p, {floats(out_RC), p.Q * width, width}, nullptr);
  return out_RC;
}

}  // namespace fathom::fused
