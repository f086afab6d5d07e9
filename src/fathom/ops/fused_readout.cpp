// Readouts over kernels/readout.h.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fathom/kernels/readout.h"
#include "fathom/ops/fused.h"
#include "fathom/ops/kept_weights.h"

namespace fathom::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// What backward needs besides tensors.
struct Setting : torch::CustomClassHolder {
  std::vector<RowReading> readings;
  double temperature = 1;
  Tensor d_x, d_head,
      d_bias;  // of the weighted sum, made by forward, until backward hands them over
  bool made = false;
};

using SettingPtr = c10::intrusive_ptr<Setting>;

ReadoutProblem problem(const RowsOf& x, const RowsOf& head, const c10::optional<Tensor>& bias,
                       const Tensor& ids_R, double temperature) {
  ReadoutProblem p;
  p.x = row_major(x.data, x.rows, x.columns);
  p.head = row_major(head.data, head.rows, head.columns);
  p.packed_head = kept_weight(head.tensor, /*transposed=*/true);
  p.bias = data_or_null(bias);
  if (ids_R.defined()) p.ids = ids_R.data_ptr<int64_t>();
  p.temperature = temperature;
  return p;
}

ReadoutGradients allocate(Setting& s, const Wanted& wanted, const RowsOf& x, const RowsOf& head) {
  const auto options = x.tensor.options().requires_grad(false);
  ReadoutGradients g;
  if (wanted[0]) {
    s.d_x = new_tensor(x.tensor.sizes());
    g.d_x = s.d_x.data_ptr<float>();
  }
  if (wanted[1]) {
    s.d_head = at::zeros(head.tensor.sizes(), options);
    g.d_head = s.d_head.data_ptr<float>();
  }
  if (wanted[2]) {
    s.d_bias = at::zeros({head.rows}, options);
    g.d_bias = s.d_bias.data_ptr<float>();
  }
  return g;
}

// The sum of the rows' weight * ln p.
Tensor weighted_sum(const Tensor& ln_p_R, const Tensor& weight_R) {
  return (ln_p_R * weight_R).masked_fill_(weight_R.eq(0), 0).sum();
}

// ln p, ln max, prediction, ln max and ln p at the confidence temperature, and the weighted sum.
variable_list results(const Setting& s, const Tensor& weight_R) {
  const auto R = static_cast<int64_t>(s.readings.size());
  variable_list out;
  for (int i = 0; i < 5; ++i) out.push_back(new_tensor({R}, i == 2 ? at::kLong : at::kFloat));
  for (int64_t i = 0; i < R; ++i) {
    const RowReading& r = s.readings[static_cast<size_t>(i)];
    out[0].data_ptr<float>()[i] = r.ln_p;
    out[1].data_ptr<float>()[i] = r.ln_max;
    out[2].data_ptr<int64_t>()[i] = r.prediction;
    out[3].data_ptr<float>()[i] = r.ln_max_tempered;
    out[4].data_ptr<float>()[i] = r.ln_p_tempered;
  }
  out.push_back(weight_R.defined() ? weighted_sum(out[0], weight_R) : new_tensor({}));
  return out;
}

SettingPtr read(const Tensor& n_RC, const Tensor& head, const c10::optional<Tensor>& bias,
                const Tensor& ids_R, const Tensor& weight_R, double temperature,
                const Wanted& wanted) {
  auto s = c10::make_intrusive<Setting>();
  const RowsOf x(n_RC), w(head);
  s->temperature = temperature;
  s->readings.resize(static_cast<size_t>(x.rows));
  const ReadoutProblem p = problem(x, w, bias, ids_R, temperature);
  s->made = weight_R.defined() && wanted.any();
  if (s->made)
    read_rows_and_slopes(p, weight_R.data_ptr<float>(), s->readings.data(),
                         allocate(*s, wanted, x, w));
  else
    read_rows(p, s->readings.data());
  return s;
}

class ReadoutFunction : public Function<ReadoutFunction> {
 public:
  static variable_list forward(AutogradContext* ctx, const Tensor& n_RC, const Tensor& head,
                               const c10::optional<Tensor>& bias,
                               const c10::optional<Tensor>& ids_R,
                               const c10::optional<Tensor>& weight_R, double temperature,
                               bool grad_of_max) {
    const bool has_bias = bias.has_value() && bias->defined();
    const Wanted wanted = {n_RC, head, bias};
    const Tensor ids = ids_R.value_or(Tensor());
    const Tensor weight = weight_R.value_or(Tensor());
    // With a gradient of the maximum besides they would be made in vain.
    const SettingPtr s =
        read(n_RC, head, bias, ids, grad_of_max ? Tensor() : weight, temperature, wanted);
    ctx->save_for_backward({n_RC, head, has_bias ? *bias : Tensor(), ids, weight});
    ctx->saved_data["setting"] = c10::IValue::make_capsule(s);
    ctx->saved_data["wanted"] = wanted.bits();
    ctx->set_materialize_grads(false);
    variable_list out = results(*s, weight);
    variable_list constant = {out[2], out[3], out[4]};
    if (!grad_of_max) constant.push_back(out[1]);
    if (!weight.defined()) constant.push_back(out[5]);
    ctx->mark_non_differentiable(constant);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto s =
        c10::static_intrusive_pointer_cast<Setting>(ctx->saved_data["setting"].toCapsule());
    const auto contiguous = [](const Tensor& t) { return t.defined() ? t.contiguous() : t; };
    const Tensor of_p = contiguous(gradients[0]), of_max = contiguous(gradients[1]);
    const Tensor &of_sum = gradients[5], &weight_R = saved[4];
    variable_list out(7);
    if (s->made && of_sum.defined() && !of_p.defined() && !of_max.defined()) {
      const auto factor = of_sum.item<float>();
      for (Tensor* t : {&s->d_x, &s->d_head, &s->d_bias})
        if (t->defined() && factor != 1) t->mul_(factor);
    } else {
      const Tensor by_row = of_sum.defined() ? weight_R * of_sum : Tensor();
      const Tensor all = !of_p.defined() ? by_row : by_row.defined() ? of_p + by_row : of_p;
      recompute(Wanted(ctx->saved_data["wanted"].toInt()), *s, saved, all, of_max);
    }
    s->made = false;
    // Handed over: the gradient of a head is as large as the head.
    out[0] = std::move(s->d_x);
    out[1] = std::move(s->d_head);
    out[2] = std::move(s->d_bias);
    return out;
  }

 private:
  static void recompute(const Wanted& wanted, Setting& s, const variable_list& saved,
                        const Tensor& of_p, const Tensor& of_max) {
    const RowsOf x(saved[0]), head(saved[1]);
    s.d_x = s.d_head = s.d_bias = Tensor();
    const ReadoutGradients g = allocate(s, wanted, x, head);
    const auto data = [](const Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; };
    readout_backward(problem(x, head, maybe(saved[2]), saved[3], s.temperature), s.readings.data(),
                     data(of_p), data(of_max), g);
  }
};

void check_weights(const Tensor& weight_R, const Tensor& ids_R, int64_t R) {
  if (!weight_R.defined()) return;
  TORCH_CHECK(ids_R.defined() && weight_R.numel() == R, "weights of [", weight_R.sizes(), "] for ",
              R, " rows");
}

void check_ids(const Tensor& ids_R, int64_t R, int64_t V) {
  if (!ids_R.defined()) return;
  TORCH_CHECK(ids_R.numel() == R && ids_R.scalar_type() == at::kLong, "ids of [", ids_R.sizes(),
              "] for ", R, " rows");
  const auto* id = ids_R.data_ptr<int64_t>();
  for (int64_t i = 0; i < R; ++i)
    TORCH_CHECK(id[i] >= -1 && id[i] < V, "id ", id[i], " of a vocabulary of ", V);
}

}  // namespace

Reading readout(const Tensor& n_RC, const Tensor& head, const Tensor& bias,
                const ReadoutRequest& request) {
  check_linear(n_RC, head, bias);
  const Tensor ids_R = request.ids_R.defined() ? request.ids_R.contiguous() : Tensor();
  check_ids(ids_R, n_RC.size(0), head.size(0));
  check_weights(request.weight_R, ids_R, n_RC.size(0));
  const Tensor weight_R =
      request.weight_R.defined() ? request.weight_R.to(at::kFloat).contiguous() : Tensor();
  variable_list out;
  if (at::GradMode::is_enabled())
    out = ReadoutFunction::apply(n_RC, head, maybe(bias), maybe(ids_R), maybe(weight_R),
                                 request.confidence_temperature, request.grad_of_max);
  else
    out = results(
        *read(n_RC, head, maybe(bias), ids_R, {}, request.confidence_temperature, Wanted(0)),
        weight_R);
  Reading reading;
  reading.ln_max_R = out[1];
  reading.prediction_R = out[2];
  reading.ln_max_confidence_R = out[3];
  if (!ids_R.defined()) return reading;
  reading.ln_p_R = out[0];
  reading.ln_p_confidence_R = out[4];
  if (weight_R.defined()) reading.weighted = out[5];
  return reading;
}

}  // namespace fathom::fused
