#include "fathom/model/walk/attention_part.h"

#include <ATen/ops/zeros.h>

#include <cmath>

#include "fathom/model/walk/attend.h"
#include "fathom/model/walk/params.h"
#include "fathom/ops/autocast.h"

namespace fathom {
namespace {

using Spec = AttentionSpec;

AttentionForm form_of(const Spec& spec) {
  AttentionForm form;
  if (spec.scores == Spec::kSigmoid) form.weights = AttentionForm::kSigmoid;
  if (spec.value == Spec::kConcat) form.values = AttentionForm::kConcat;
  if (spec.value == Spec::kSum) form.values = AttentionForm::kSum;
  if (spec.value == Spec::kMean) form.values = AttentionForm::kMean;
  form.strict = spec.mask == Spec::kStrict;
  form.sink = spec.mask == Spec::kSink;
  return form;
}

// Rows [first, first + rows) of the map.
Tensor some_of(const LinearParams& map, const Tensor& x_RC, int64_t first, int64_t rows) {
  const Tensor bias = map.bias.defined() ? map.bias.narrow(0, first, rows) : Tensor();
  return linear(x_RC, map.weight.narrow(0, first, rows), bias);
}

// Nothing is cast automatically, for as long as it lives.
class WithoutCasts {
 public:
  WithoutCasts() {
    autocast::turn(at::kCPU, false);
    autocast::turn(at::kCUDA, false);
  }
  ~WithoutCasts() {
    autocast::turn(at::kCPU, cpu_);
    autocast::turn(at::kCUDA, gpu_);
  }
  WithoutCasts(const WithoutCasts&) = delete;
  WithoutCasts& operator=(const WithoutCasts&) = delete;

 private:
  const bool cpu_ = autocast::is_on(at::kCPU), gpu_ = autocast::is_on(at::kCUDA);
};

struct QueriesKeys {
  Tensor q_RH, k_RH;  // of width 1 each
};

// Such that q k is the score, or the score but for a number that all keys of a query share: what
// the softmax does not see.
QueriesKeys by_position(const Spec& spec, const Rows& rows, int64_t H, const Tensor& like) {
  const int64_t R = rows.count();
  QueriesKeys qk;
  qk.q_RH = at::zeros({R, H}, like.options().requires_grad(false));
  if (spec.scores == Spec::kUniform) {
    qk.k_RH = qk.q_RH;
    return qk;
  }
  for (int64_t h = 0; h < H; ++h)
    qk.q_RH.select(1, h).fill_(
        std::exp2(-8.0 * static_cast<double>(h + 1) / static_cast<double>(H)));
  const Tensor position_R1 = rows.position_R.unsqueeze(1).to(like.scalar_type());
  qk.k_RH = position_R1.expand({R, H}).contiguous();
  return qk;
}

// Values of a spec whose scores are of positions alone, which are larger than narrow types are
// exact.
Tensor values_alone(const Spec& spec, const AttentionParams& p, const Tensor& values_RC) {
  const Tensor v_RC =
      spec.value == Spec::kLinear ? linear(values_RC, p.in.weight, p.in.bias) : values_RC;
  return v_RC.scalar_type() != at::kDouble ? v_RC.to(at::kFloat) : v_RC;
}

Tensor attend(AttentionContext& context, int slot, const Tensor& q, const Tensor& k,
              const Tensor& v, const AttentionForm& form) {
  return form.usual() ? context.attend(slot, q, k, v) : context.attend(slot, q, k, v, form);
}

Tensor heads_of(const Spec& spec, const AttentionParams& p, int slot, const Tensor& x_RC,
                const Tensor& keys_RC, const Tensor& values_RC, AttentionContext& context) {
  const AttentionForm form = form_of(spec);
  const bool linear_value = spec.value == Spec::kLinear;
  const bool own_keys = x_RC.is_same(keys_RC);
  const bool one_source = own_keys && x_RC.is_same(values_RC);
  const int64_t C = values_RC.size(-1);
  if (!spec.compares()) {
    const Tensor v_RC = values_alone(spec, p, values_RC);
    const WithoutCasts guard;
    const QueriesKeys qk = by_position(spec, context.rows(), context.heads(), v_RC);
    return attend(context, slot, qk.q_RH, qk.k_RH, v_RC, form);
  }
  if (one_source && linear_value) {
    const Tensor qkv_RC = linear(x_RC, p.in.weight, p.in.bias);
    if (form.usual()) return context.attend(slot, qkv_RC);
    const std::vector<Tensor> qkv = qkv_RC.chunk(3, -1);
    return context.attend(slot, qkv[0], qkv[1], qkv[2], form);
  }
  if (!own_keys && linear_value && keys_RC.is_same(values_RC)) {
    const std::vector<Tensor> kv = some_of(p.in, keys_RC, C, 2 * C).chunk(2, -1);
    return attend(context, slot, some_of(p.in, x_RC, 0, C), kv[0], kv[1], form);
  }
  const Tensor v_RC = linear_value ? some_of(p.in, values_RC, 2 * C, C) : values_RC;
  if (!own_keys)
    return attend(context, slot, some_of(p.in, x_RC, 0, C), some_of(p.in, keys_RC, C, C), v_RC,
                  form);
  const Tensor qk_RC =
      linear_value ? some_of(p.in, x_RC, 0, 2 * C) : linear(x_RC, p.in.weight, p.in.bias);
  const std::vector<Tensor> qk = qk_RC.chunk(2, -1);
  return attend(context, slot, qk[0], qk[1], v_RC, form);
}

}  // namespace

void bind(const AttentionSpec& spec, const PartPlace& /*place*/, NamedTensors& tensors,
          Params& params) {
  AttentionParams& p = params.attention[spec.instance];
  const std::string projection = spec.projection();
  if (!projection.empty()) p.in = tensors.linear(spec.name() + "." + projection);
  if (spec.output_projection) p.out = tensors.linear(spec.name() + ".out");
}

Tensor run_attention(const AttentionSpec& spec, const AttentionParams& p, int slot,
                     const Tensor& x_RC, const Tensor& keys_RC, const Tensor& values_RC,
                     AttentionContext& context) {
  const Tensor heads_RC = heads_of(spec, p, slot, x_RC, keys_RC, values_RC, context);
  return spec.output_projection ? linear(heads_RC, p.out.weight, p.out.bias) : heads_RC;
}

void put_keys(const AttentionSpec& spec, const AttentionParams& p, int slot,
              const std::shared_ptr<const Rows>& rows, const Tensor& keys_RC,
              const Tensor& values_RC, AttentionContext& context) {
  const bool linear_value = spec.value == Spec::kLinear;
  const int64_t C = values_RC.size(-1);
  if (!spec.compares()) {
    const Tensor v_RC = values_alone(spec, p, values_RC);
    const WithoutCasts guard;
    context.put(slot, rows, by_position(spec, *rows, context.heads(), v_RC).k_RH, v_RC);
  } else if (linear_value && keys_RC.is_same(values_RC)) {
    const Tensor kv_RC = some_of(p.in, keys_RC, C, 2 * C);
    context.put(slot, rows, kv_RC.narrow(1, 0, C), kv_RC.narrow(1, C, C));
  } else {
    const Tensor v_RC = linear_value ? some_of(p.in, values_RC, 2 * C, C) : values_RC;
    context.put(slot, rows, some_of(p.in, keys_RC, C, C), v_RC);
  }
}

}  // namespace fathom
