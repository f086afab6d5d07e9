#include "experiments/dag/functions.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include "experiments/dag/executors.h"
#include "experiments/dag/records.h"
#include "experiments/dag/select.h"

namespace fathom::dag {
namespace {

// An own linear map; `x` and what it gives may be narrower than the stream (--dtype).
Tensor map(const FunctionCall& call, const std::string& name, const Tensor& x_RC) {
  const auto bias = call.params.own.find(name + ".bias");
  return linear(x_RC, call.own(name + ".weight"),
                bias == call.params.own.end() ? Tensor() : bias->second);
}

Tensor map_twice(const FunctionCall& call, const std::string& name, const Tensor& x_RH) {
  return map(call, name + ".down", gelu(map(call, name + ".up", x_RH), GeluForm::kExact));
}

// One pass over a step's rows.
class Program {
 public:
  explicit Program(const FunctionCall& call)
      : call_(call),
        settings_(settings_of(call.settings)),
        type_(call.args[0].scalar_type()),
        R_(call.args[0].size(0)),
        D_(settings_.depth),
        S_(settings_.slots()),
        N_(static_cast<int64_t>(settings_.operations.size())) {
    options_.arithmetic.clip = settings_.clip;
    options_.arithmetic.log_limit = settings_.log_limit;
    options_.operations = settings_.operations;
    options_.count = call.see != nullptr;
  }

  // Its choices are made and shown; they are carried out where somebody goes on with the result.
  void choose() { settings_.executor == Executor::kStack ? choose_stack() : choose_scratch(); }
  Numbers run() {
    const Executed executed =
        settings_.executor == Executor::kStack
            ? run_stack(values_, op_RDN_, options_)
            : run_scratch(only(values_), operand1_RDS_, operand2_RDS_, op_RDN_, options_);
    return shown(executed);
  }

 private:
  // (R, w) of a map's outputs: `made` (R, 2 w), the first half of the signs; linear (R, w).
  Numbers numbers(const Tensor& made) {
    Numbers values;
    if (settings_.domain == Domain::kLinear) {
      values.real = made.to(type_);
      call_.record(kReal, values.real);
      return values;
    }
    const std::vector<Tensor> halves = made.to(type_).chunk(2, -1);
    values.sign = halves[0].tanh();
    values.log = settings_.value_limit * halves[1].tanh();
    call_.record(kSignLogits, halves[0]);
    call_.record(kLogLogits, halves[1]);
    call_.record(kSign, values.sign);
    call_.record(kLog, values.log);
    return values;
  }

  // Shares of (R, D, n) choices; `hidden` as select() has it.
  Tensor shares(const char* what, const Tensor& logits_RDn, const Tensor& hidden) {
    SelectOptions options;
    options.select = settings_.select;
    options.softmax_temperature = settings_.softmax_temperature;
    options.gumbel_temperature = temperature();
    const bool draws = settings_.select == Select::kGumbel || settings_.select == Select::kGumbelSt;
    const int64_t n = logits_RDn.size(-1);
    if (draws && call_.training)
      options.uniform = call_.uniform(what, D_ * n, call_.args[0]).view({R_, D_, n});
    // What is shown is what is gone on with, so that its gradient is the choice's.
    const Tensor p_RX = select(logits_RDn, hidden, options).to(type_).flatten(1);
    call_.record(what, p_RX);
    return p_RX.view({R_, D_, n});
  }
  double temperature() const {
    if (!call_.training) return settings_.gumbel_temperature_end;
    return temperature_at(settings_.gumbel_temperature, settings_.gumbel_temperature_end,
                          call_.training_step, settings_.temperature_steps);
  }
  Tensor operations(const Tensor& logits_RDN) {
    call_.record(kOpLogits, logits_RDN.flatten(1));
    return shares(kOp, logits_RDN, {});
  }

  void choose_stack() {
    values_ = numbers(map_twice(call_, "dag.value", call_.args[0]));
    op_RDN_ = operations(map_twice(call_, "dag.op", call_.args[1]).view({R_, D_, N_}));
  }

  void choose_scratch() {
    values_ = numbers(map(call_, "dag.value", call_.args[1]));
    const Tensor plan = map_twice(call_, "dag.plan", call_.args[0]).view({R_, D_, 2 * S_ + N_});
    // Step k has the slots 0 .. k.
    const auto integer = call_.args[0].options().requires_grad(false).dtype(at::kLong);
    const Tensor hidden_DS =
        at::arange(S_, integer).unsqueeze(0).gt(at::arange(D_, integer).unsqueeze(1));
    operand1_RDS_ = shares(kOperand1, plan.narrow(2, 0, S_), hidden_DS);
    operand2_RDS_ = shares(kOperand2, plan.narrow(2, S_, S_), hidden_DS);
    op_RDN_ = operations(plan.narrow(2, 2 * S_, N_));
  }
  // (R) of (R, 1).
  static Numbers only(const Numbers& x) {
    const auto first = [](const Tensor& t) { return t.defined() ? t.select(1, 0) : t; };
    return {first(x.real), first(x.sign), first(x.log)};
  }

  // The result, as a part of what is shown of all steps.
  Numbers shown(const Executed& executed) const {
    if (!call_.see) return executed.value;
    Numbers result;
    for (const auto& [what, of] :
         {std::pair{kStepReal, &Numbers::real}, std::pair{kStepSign, &Numbers::sign},
          std::pair{kStepLog, &Numbers::log}}) {
      std::vector<Tensor> steps_R;
      for (const Numbers& step : executed.steps)
        if ((step.*of).defined()) steps_R.push_back(step.*of);
      if (steps_R.empty()) continue;
      const Tensor steps_RD = at::stack(steps_R, 1);
      call_.record(what, steps_RD);
      result.*of = steps_RD.select(1, D_ - 1);
    }
    record_counts(executed.counts);
    return result;
  }

  void record_counts(const ArithmeticCounts& c) const {
    const Tensor counts_R5 =
        at::zeros({R_, 5}, call_.args[0].options().requires_grad(false).dtype(at::kDouble));
    if (R_ > 0) {
      int64_t i = 0;
      for (const int64_t n : {c.results, c.clamped, c.cancelled, c.divided_by_zero, c.nonfinite})
        counts_R5.select(0, 0).select(0, i++).fill_(n);
    }
    call_.record(kCounts, counts_R5);
  }

  const FunctionCall& call_;
  const DagSettings settings_;
  const at::ScalarType type_;  // of the stream
  const int64_t R_, D_, S_, N_;
  ExecutorOptions options_;
  Numbers values_;  // (R, S) of a stack, (R, 1) of a list
  Tensor operand1_RDS_, operand2_RDS_, op_RDN_;
};

}  // namespace

Tensor run_program(const FunctionCall& call, bool predictor) {
  Program program(call);
  program.choose();
  if (predictor) return call.args[0];
  const Numbers result = program.run();
  const double top = call.settings.number("dag_embed_top");
  return map(call, "dag.embed", features_of(result, top)).to(call.args[0].scalar_type());
}

Tensor fold(const FunctionCall& call) {
  const Tensor &n_RH = call.args[0], &q_RH = call.args[1];
  Tensor mixed_RH;
  if (call.args.size() > 2) {
    mixed_RH = n_RH + call.own("dag.scale.weight") * call.args[2];
  } else {
    const auto mean = [&](const Tensor& x_RH, const char* weight) {
      return (x_RH * call.own(weight)).mean(-1, /*keepdim=*/true);
    };
    const Tensor gate_R1 = (mean(q_RH, "dag.gate_dag.weight") +
                            mean(n_RH, "dag.gate_original.weight") + call.own("dag.gate.bias"))
                               .sigmoid();
    mixed_RH = n_RH + gate_R1 * q_RH;
    call.record(kGate, gate_R1);
  }
  mixed_RH = mixed_RH.to(n_RH.scalar_type());
  call.record(kOriginal, n_RH);
  call.record(kHidden, q_RH);
  call.record(kMixed, mixed_RH);
  return mixed_RH;
}

RowFunctions functions(const DagSettings& settings, bool predictor) {
  RowFunctions out;
  if (settings.depth == 0) return out;
  out[kFunction] = [predictor](const FunctionCall& call) { return run_program(call, predictor); };
  if (!predictor) out[kFold] = fold;
  return out;
}

}  // namespace fathom::dag
