#include "fathom/model/injection.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/ops/ops.h"

namespace fathom {
namespace {

Tensor loop_input(const Injection& injection, int step, const Params& params, const Rows& rows,
                  const Carry& carry, const RandomField& random) {
  if (carry.x0_RC.empty()) fail("a loop's input is asked for outside of a loop");
  const Tensor& x0_RC = carry.x0_RC.back();
  const bool adapted = injection.instance >= 0;
  Tensor state_RC = injection.cut_state ? carry.r_RC.detach() : carry.r_RC;
  if (injection.first && injection.noise > 0)
    state_RC =
        injection.noise * random.normal(fmt::format("loop.{}", step), rows, x0_RC.size(-1), x0_RC);
  else if (injection.first)
    state_RC = x0_RC;
  if (!adapted) return injection.first && injection.noise == 0 ? x0_RC : x0_RC + state_RC;
  const LinearParams& a = params.adapter.at(injection.instance);
  return linear(at::cat({x0_RC, state_RC}, -1), a.weight, a.bias);
}

}  // namespace

Carry inject(const StepSpec& step, const Params& params, const Rows& rows, Carry carry,
             const RandomField& random) {
  Tensor gate_R1;  // of the last gate that no table has used yet
  const auto widened = [&](const Tensor& x_RC) {
    return at::constant_pad_nd(x_RC, {0, step.layer.width - x_RC.size(-1)}, 0);
  };
  for (const Injection& injection : step.layer.door) {
    switch (injection.kind) {
      case Injection::kOpenLoop:
        carry.x0_RC.push_back(carry.r_RC);
        break;
      case Injection::kLoopInput:
        carry.r_RC = loop_input(injection, step.index, params, rows, carry, random);
        break;
      case Injection::kGate: {
        const LinearParams& gate = params.gate.at(injection.instance);
        gate_R1 = linear(carry.r_RC, gate.weight, gate.bias).sigmoid();
        break;
      }
      case Injection::kWiden:
        carry.r_RC = widened(carry.r_RC);
        if (carry.y_RC.defined()) carry.y_RC = widened(carry.y_RC);
        break;
      case Injection::kTokenTable: {
        const Tensor& table = params.token_table.at(injection.instance);
        if (gate_R1.defined())
          carry.r_RC = gate_R1 * embed(Tensor(), table, rows.token_R) + (1 - gate_R1) * carry.r_RC;
        else
          carry.r_RC = embed(carry.r_RC, table, rows.token_R);
        gate_R1 = Tensor();
        break;
      }
    }
  }
  return carry;
}

}  // namespace fathom
