#include "fathom/kernels/attention.h"

#include <cmath>

#include "fathom/kernels/attention_forms.h"
#include "fathom/kernels/scratch.h"
#include "fathom/kernels/threads.h"

namespace fathom {
namespace {

constexpr int64_t kSmall = 1 << 18;      // multiplications that are not worth a second thread
constexpr int64_t kSmallRead = 1 << 16;  // floats of keys and values whose reading is not worth one

template <class F>
void each_head(const AttentionProblem& p, const F& f) {
  for_each_unit(p.B * p.H, is_small(p), [&](int64_t unit) { f(unit / p.H, unit % p.H); });
}

}  // namespace

bool is_small(const AttentionProblem& p) {
  const int64_t read = p.B * p.K * (p.H * p.D + (p.form.adds_heads() ? 1 : p.H) * p.E);
  return read < kSmallRead && read * p.Q < kSmall;
}

float* head_at(const HeadRows& rows, int64_t b, int64_t head, int64_t width) {
  return rows.data == nullptr ? nullptr : rows.data + b * rows.batch_stride + head * width;
}

AttentionHead head_of(const AttentionProblem& p, int64_t b, int64_t h) {
  AttentionHead a;
  a.Q = p.Q, a.K = p.K, a.D = p.D, a.E = p.E;
  a.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(p.D)));
  a.q = head_at(p.q, b, h, p.D), a.q_row = p.q.row_stride;
  a.k = head_at(p.k, b, h, p.D * p.k_channel_stride), a.k_row = p.k.row_stride;
  a.k_channel = p.k_channel_stride;
  a.v = head_at(p.v, b, p.form.values == AttentionForm::kByHead ? h : 0, p.E),
  a.v_row = p.v.row_stride;
  a.ranges = p.ranges + b * p.Q;
  if (p.hidden != nullptr) a.hidden = p.hidden + b * p.K;
  if (p.own != nullptr) a.own = p.own + b * p.Q;
  if (p.blocked != nullptr) a.blocked = p.blocked + b * p.Q * p.K;
  if (p.dropout.p == 0) return a;
  a.dropout = p.dropout;
  a.dropout.streams += b;
  a.dropout.query_positions += b * p.Q;
  a.dropout.key_positions += b * p.K;
  a.heads = p.H;
  a.head = h;
  return a;
}

bool attention_fits(int64_t D, int64_t E, const AttentionForm& form) {
  return D <= kernels().depth && (E <= kernels().depth || !form.usual_heads());
}

void attention_forward(const AttentionProblem& p, const HeadRows& out, float* lse) {
  if (!p.form.usual_heads()) return other_attention_forward(p, out, lse);
  const KernelTable& t = kernels();
  each_head(p, [&](int64_t b, int64_t h) {
    AttentionHead a = head_of(p, b, h);
    a.out = head_at(out, b, h, p.E), a.out_row = out.row_stride;
    if (lse != nullptr) a.lse = lse + (b * p.H + h) * p.Q;
    t.attention_forward(a, scratch(kAttention, t.attention_scratch(a)));
  });
}

void attention_backward(const AttentionProblem& p, const float* lse, const HeadRows& d_out,
                        const HeadRows& d_q, const HeadRows& d_k, const HeadRows& d_v) {
  if (!p.form.usual_heads()) return other_attention_backward(p, lse, d_out, d_q, d_k, d_v);
  const KernelTable& t = kernels();
  each_head(p, [&](int64_t b, int64_t h) {
    AttentionHead a = head_of(p, b, h);
    a.lse = const_cast<float*>(lse) + (b * p.H + h) * p.Q;  // only read
    a.backward = true;
    a.d_out = head_at(d_out, b, h, p.E), a.d_out_row = d_out.row_stride;
    a.d_q = head_at(d_q, b, h, p.D), a.d_q_row = d_q.row_stride;
    a.d_k = head_at(d_k, b, h, p.D), a.d_k_row = d_k.row_stride;
    a.d_v = head_at(d_v, b, h, p.E), a.d_v_row = d_v.row_stride;
    t.attention_backward(a, scratch(kAttention, t.attention_scratch(a)));
  });
}

}  // namespace fathom
