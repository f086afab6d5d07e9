// The executors over program_loops.h.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include "experiments/dag/executors.h"
#include "experiments/dag/program_loops.h"
#include "fathom/ops/ops.h"
#include "fathom/ops/tensor_pool.h"

namespace fathom::dag {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Everything one behind the other, in single precision.
struct ProgramInputs {
  Tensor sign, log;                   // (R, S) of a stack, (R) of a scratch list
  Tensor operand1_RDS, operand2_RDS;  // of a scratch list
  Tensor op_RDN;
};

const float* floats(const Tensor& t) {
  return t.defined() ? t.data_ptr<float>() : nullptr;
}

RowPrograms programs_of(const ProgramInputs& in, const std::vector<int64_t>& operations, Clip clip,
                        double log_limit) {
  RowPrograms p;
  p.R = in.op_RDN.size(0), p.D = in.op_RDN.size(1);
  for (const int64_t operation : operations)
    p.operations.push_back(static_cast<Operation>(operation));
  p.clip = clip, p.log_limit = log_limit;
  p.sign = floats(in.sign), p.log = floats(in.log), p.op = floats(in.op_RDN);
  p.operand1 = floats(in.operand1_RDS), p.operand2 = floats(in.operand2_RDS);
  return p;
}

// Signs of the D steps, then their logs, (R) each.
template <class Float>
RowSteps<Float> steps_of(const Tensor* parts, int64_t D) {
  RowSteps<Float> steps;
  for (int64_t k = 0; k < 2 * D; ++k)
    (k < D ? steps.sign : steps.log)
        .push_back(parts[k].defined() ? parts[k].template data_ptr<float>() : nullptr);
  return steps;
}

c10::optional<Tensor> given(const Tensor& t) {
  return t.defined() ? c10::optional<Tensor>(t) : c10::nullopt;
}

class ProgramFunction : public Function<ProgramFunction> {
 public:
  static variable_list forward(AutogradContext* ctx, const Tensor& sign, const Tensor& log,
                               const c10::optional<Tensor>& operand1_RDS,
                               const c10::optional<Tensor>& operand2_RDS, const Tensor& op_RDN,
                               const ExecutorOptions& options, RowCounts* counts) {
    const ProgramInputs in = {sign, log, operand1_RDS.value_or(Tensor()),
                              operand2_RDS.value_or(Tensor()), op_RDN};
    std::vector<int64_t> operations;
    for (const Operation o : options.operations) operations.push_back(static_cast<int64_t>(o));
    const auto [clip, log_limit] = options.arithmetic;
    const RowPrograms p = programs_of(in, operations, clip, log_limit);
    variable_list steps;
    for (int64_t k = 0; k < 2 * p.D; ++k) steps.push_back(new_tensor({p.R}));
    run_programs(p, steps_of<float>(steps.data(), p.D), counts);
    if (ctx != nullptr) {
      variable_list kept = {in.sign, in.log, in.operand1_RDS, in.operand2_RDS, in.op_RDN};
      kept.insert(kept.end(), steps.begin(), steps.end());
      ctx->save_for_backward(std::move(kept));
      ctx->saved_data["operations"] = operations;
      ctx->saved_data["clip"] = static_cast<int64_t>(clip);
      ctx->saved_data["log_limit"] = log_limit;
      ctx->set_materialize_grads(false);
    }
    return steps;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto kept = ctx->get_saved_variables();
    const RowPrograms p = programs_of({kept[0], kept[1], kept[2], kept[3], kept[4]},
                                      ctx->saved_data["operations"].toIntVector(),
                                      static_cast<Clip>(ctx->saved_data["clip"].toInt()),
                                      ctx->saved_data["log_limit"].toDouble());
    variable_list d_steps, out(7);
    for (const Tensor& d : gradients) d_steps.push_back(d.defined() ? d.contiguous() : d);
    const auto gradient = [&](size_t input) -> float* {
      if (!kept[input].defined() || !kept[input].requires_grad()) return nullptr;
      out[input] = at::empty_like(kept[input]);
      return out[input].data_ptr<float>();
    };
    const RowGradients to = {gradient(0), gradient(1), gradient(2), gradient(3), gradient(4)};
    run_programs_backward(p, steps_of<const float>(&kept[5], p.D),
                          steps_of<const float>(d_steps.data(), p.D), to);
    return out;
  }
};

// Throws c10::Error, as libtorch's own operations do; the loops would read beyond what is there.
void check_shapes(const ProgramInputs& in, const ExecutorOptions& options) {
  const int64_t R = in.op_RDN.size(0), D = in.op_RDN.size(1), S = D + 1;
  const bool is_stack = !in.operand1_RDS.defined();
  const auto N = static_cast<int64_t>(options.operations.size());
  const std::vector<int64_t> values =
      is_stack ? std::vector<int64_t>{R, S} : std::vector<int64_t>{R};
  TORCH_CHECK(in.op_RDN.dim() == 3 && in.op_RDN.size(2) == N, N, " operations of [",
              in.op_RDN.sizes(), "] shares");
  TORCH_CHECK(in.sign.sizes() == values && in.log.sizes() == values, "signs [", in.sign.sizes(),
              "] and logs [", in.log.sizes(), "] of values [", values, "]");
  for (const Tensor& operand : {in.operand1_RDS, in.operand2_RDS})
    TORCH_CHECK(is_stack ? !operand.defined() : operand.sizes() == at::IntArrayRef({R, D, S}),
                "shares of operands [", operand.sizes(), "] of [", R, ", ", D, ", ", S, "]");
}

Executed run(const ProgramInputs& inputs, const ExecutorOptions& options) {
  const auto ready = [](const Tensor& t) {
    return t.defined() ? t.to(at::kFloat).contiguous() : t;
  };
  const ProgramInputs in = {ready(inputs.sign), ready(inputs.log), ready(inputs.operand1_RDS),
                            ready(inputs.operand2_RDS), ready(inputs.op_RDN)};
  check_shapes(in, options);
  RowCounts counts;
  RowCounts* const counted = options.count ? &counts : nullptr;
  const auto operand1 = given(in.operand1_RDS), operand2 = given(in.operand2_RDS);
  const variable_list parts =
      at::GradMode::is_enabled()
          ? ProgramFunction::apply(in.sign, in.log, operand1, operand2, in.op_RDN, options, counted)
          : ProgramFunction::forward(nullptr, in.sign, in.log, operand1, operand2, in.op_RDN,
                                     options, counted);
  Executed executed;
  const size_t D = parts.size() / 2;
  for (size_t k = 0; k < D; ++k) executed.steps.push_back({{}, parts[k], parts[D + k]});
  executed.value = executed.steps.back();
  executed.counts = {counts.results, counts.clamped, counts.cancelled, counts.divided_by_zero,
                     counts.nonfinite};
  return executed;
}

}  // namespace

bool has_fused_executor(const Numbers& values, const ExecutorOptions& options) {
  return !options.operations.empty() && !values.is_linear() && has_kernels(values.sign) &&
         has_kernels(values.log);
}

Executed fused_run_stack(const Numbers& values, const Tensor& op_RDN,
                         const ExecutorOptions& options) {
  if (op_RDN.size(1) == 0) return plain_run_stack(values, op_RDN, options);
  return run({values.sign, values.log, {}, {}, op_RDN}, options);
}

Executed fused_run_scratch(const Numbers& first, const Tensor& operand1_RDS,
                           const Tensor& operand2_RDS, const Tensor& op_RDN,
                           const ExecutorOptions& options) {
  if (op_RDN.size(1) == 0)
    return plain_run_scratch(first, operand1_RDS, operand2_RDS, op_RDN, options);
  return run({first.sign, first.log, operand1_RDS, operand2_RDS, op_RDN}, options);
}

}  // namespace fathom::dag
