#include "fathom/model/walk/injection.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/where.h>
#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/model/walk/rows.h"
#include "fathom/ops/few_rows.h"
#include "fathom/ops/ops.h"

namespace fathom {
namespace {

constexpr uint64_t kFixedNoise = 0;  // seed

Tensor first_state(const Injection& open, const DoorSite& site, const Rows& rows,
                   const Tensor& x0_RC, const RandomField& random) {
  if (open.plain) return x0_RC;
  if (open.noise == 0) return open.instance >= 0 ? x0_RC : filled_like(x0_RC, 0);
  const NoiseInEval how = site.training ? NoiseInEval::kSame : open.noise_in_eval;
  if (how == NoiseInEval::kZero) return filled_like(x0_RC, 0);
  const RandomField numbers =
      how == NoiseInEval::kFixedSeed ? RandomField::alike(kFixedNoise) : random;
  return times(
      numbers.normal(site.step->opening_site(open.loop.group), rows, x0_RC.size(-1), x0_RC),
      open.noise);
}

// The stream after the loop's row of this iteration has met it.
Tensor signalled(const Injection& signal, const DoorSite& site, const Tensor& table,
                 const Tensor& r_RC) {
  const int64_t last = table.size(0) - 1;
  const Tensor row = site.iteration_R.defined()
                         ? table.index_select(0, site.iteration_R.clamp(0, last))
                         : table.narrow(0, std::min<int64_t>(signal.loop.iteration, last), 1);
  return signal.meeting == Injection::kMultiply ? times(r_RC, row) : plus(r_RC, row);
}

// The state that an iteration begins with; that of rows whose first one it is has no iteration
// before it from which it could be cut.
Tensor state_of(const Injection& input, const DoorSite& site, const Tensor& r_RC) {
  if (!input.cut_state) return r_RC;
  if (!site.iteration_R.defined()) return r_RC.detach();
  return at::where(site.iteration_R.eq(0).unsqueeze(1), r_RC, r_RC.detach());
}

Tensor loop_input(const Injection& injection, const DoorSite& site, const Params& params,
                  const Carry& carry) {
  if (carry.x0_RC.empty()) fail("a loop's input is asked for outside of a loop");
  const Tensor& x0_RC = carry.x0_RC.back();
  const Tensor state_RC = state_of(injection, site, carry.r_RC);
  if (injection.instance < 0) return plus(x0_RC, state_RC);
  const LinearParams& a = params.adapter.at(injection.instance);
  // The stream stays what it is where products are made in another precision.
  return linear(beside(x0_RC, state_RC), a.weight, a.bias).to(x0_RC.scalar_type());
}

// The stream after a table's rows have met it.
Tensor met(const Injection& injection, const Tensor& r_RC, const Tensor& table,
           const Tensor& ids_R) {
  if (injection.meeting == Injection::kAdd || !r_RC.defined()) return embed(r_RC, table, ids_R);
  return times(r_RC, embed(Tensor(), table, ids_R));
}

Tensor token_table(const Injection& injection, const Tensor& table, const Tensor& r_RC,
                   const Rows& rows, Tensor& gate_R1) {
  if (!gate_R1.defined()) return met(injection, r_RC, table, rows.token_R);
  const Tensor g_R1 = std::move(gate_R1);
  gate_R1 = Tensor();
  return g_R1 * embed(Tensor(), table, rows.token_R) + (1 - g_R1) * r_RC;
}

// Names an address of random numbers: the step, and which of its door's noises it is. (Loops that
// open there would count otherwise.)
std::string noise_site(const DoorSite& site) {
  if (site.step == nullptr) return fmt::format("noise.stem.{}", site.number);
  const auto door = site.step->layer.door.begin();
  const auto before = std::count_if(door, door + site.number,
                                    [](const Injection& i) { return i.kind == Injection::kNoise; });
  return fmt::format("{}.{}", site.step->site("noise", site.step->place), before);
}

Tensor widened(const Tensor& x_RC, int64_t width) {
  return at::constant_pad_nd(x_RC, {0, width - x_RC.size(-1)}, 0);
}

}  // namespace

Carry inject(const Injection& injection, const DoorSite& site, const Params& params,
             const Rows& rows, Carry carry, Tensor& gate_R1, const RandomField& random,
             const BlockSettings& settings) {
  const int i = injection.instance;
  switch (injection.kind) {
    case Injection::kOpenLoop:
      carry.x0_RC.push_back(carry.r_RC);
      carry.r_RC = first_state(injection, site, rows, carry.x0_RC.back(), random);
      break;
    case Injection::kLoopInput:
      carry.r_RC = loop_input(injection, site, params, carry);
      break;
    case Injection::kLoopSignal:
      carry.r_RC = signalled(injection, site, params.loop_signal.at(i), carry.r_RC);
      break;
    case Injection::kGate: {
      const LinearParams& gate = params.gate.at(i);
      gate_R1 = linear(carry.r_RC, gate.weight, gate.bias).sigmoid();
      break;
    }
    case Injection::kWiden:
      carry.r_RC = widened(carry.r_RC, site.width);
      if (carry.y_RC.defined()) carry.y_RC = widened(carry.y_RC, site.width);
      break;
    case Injection::kTokenTable:
      carry.r_RC = token_table(injection, params.token_table.at(i), carry.r_RC, rows, gate_R1);
      break;
    case Injection::kPositionTable:
      if (injection.meeting != Injection::kNotMet)
        carry.r_RC = met(injection, carry.r_RC, params.position_table.at(i), rows.position_R);
      break;
    case Injection::kScale:
      carry.r_RC = times(carry.r_RC, injection.amount);
      break;
    case Injection::kNorm:
      carry.r_RC = norm(carry.r_RC, params.norm(injection.norm), settings);
      break;
    case Injection::kNoise:
      carry.r_RC = plus(
          carry.r_RC, times(random.normal(noise_site(site), rows, carry.r_RC.size(-1), carry.r_RC),
                            injection.amount));
      break;
  }
  return carry;
}

Carry inject(const StemSpec& stem, const Params& params, const Rows& rows,
             const RandomField& random, const BlockSettings& settings) {
  DoorSite site{stem.width, nullptr, 0, false};
  Tensor gate_R1;
  Carry carry;
  for (const Injection& injection : stem.door) {
    carry = inject(injection, site, params, rows, std::move(carry), gate_R1, random, settings);
    ++site.number;
  }
  return carry;
}

void bind(const Injection& spec, const PartPlace& place, NamedTensors& tensors, Params& params) {
  const int i = spec.instance;
  switch (spec.kind) {
    case Injection::kGate:
      params.gate[i] = tensors.linear(fmt::format("gate.{}", i));
      break;
    case Injection::kLoopInput:
      if (i >= 0) params.adapter[i] = tensors.linear(fmt::format("adapter.{}", i));
      break;
    case Injection::kLoopSignal:
      params.loop_signal[i] = tensors.at(fmt::format("loop_signal.{}.weight", i));
      break;
    case Injection::kTokenTable:
      params.token_table[i] = tensors.at(fmt::format("token_table.{}.weight", i));
      break;
    case Injection::kPositionTable:
      params.position_table[i] = tensors.at(position_table_name(i) + ".weight");
      break;
    case Injection::kNorm:
      bind(spec.norm, place, tensors, params);
      break;
    case Injection::kOpenLoop:
    case Injection::kWiden:
    case Injection::kScale:
    case Injection::kNoise:
      break;
  }
}

}  // namespace fathom
