// Operations that no text writes down, of some rows side by side: max, min, power and log.
#include "experiments/dag/held_logs.h"
#include "experiments/dag/program_lanes.h"

namespace fathom::dag {
namespace {

// 1 where x is larger, 0 where y is, 1/2 where neither is.
Lanes share_of_larger(const NumberLanes& x, const NumberLanes& y) {
  const auto class_of = [](Lanes s) { return s > 0 ? all(1) : s < 0 ? all(-1) : all(0); };
  const Lanes sx = class_of(x.sign), sy = class_of(y.sign), lx = sx * x.log, ly = sy * y.log;
  const IntLanes alike = sx == sy;
  const IntLanes x_larger = (sx > sy) | (alike & (lx > ly)),
                 y_larger = (sy > sx) | (alike & (ly > lx));
  return x_larger ? all(1) : y_larger ? all(0) : all(0.5f);
}

NumberLanes mixed_of(Lanes share, const NumberLanes& x, const NumberLanes& y) {
  const Lanes rest = 1 - share;
  return {share * x.sign + rest * y.sign, share * x.log + rest * y.log};
}

void mixed_slopes(Lanes share, const NumberLanes& d, NumberLanes& d_x, NumberLanes& d_y) {
  const Lanes rest = 1 - share;
  d_x.sign += share * d.sign, d_x.log += share * d.log;
  d_y.sign += rest * d.sign, d_y.log += rest * d.log;
}

// What a power is made of: the size of its exponent and, without a sign, e^ln|y|, and the base's
// log; and what of it is held.
struct PowerLanes {
  Lanes exponent, size_of_y, base;
  IntLanes x_zero, y_held, x_held;

  PowerLanes(const NumberLanes& x, const NumberLanes& y) {
    const Lanes most_y = all(static_cast<float>(kMostExponent)),
                most_x = all(static_cast<float>(kLogOfMostBase)),
                most_log = all(static_cast<float>(kMostLogOfExponent));
    size_of_y = exp_of(y.log > most_log ? most_log : y.log).power;
    const Lanes raw = y.sign * size_of_y;
    y_held = magnitude(raw) > most_y, x_held = x.log > most_x, x_zero = x.sign == 0;
    exponent = raw > most_y ? most_y : raw < -most_y ? -most_y : raw;
    base = x_held ? most_x : x.log;
  }
  IntLanes held() const { return y_held | (x_held & ~x_zero); }
};

void power_slopes(const NumberLanes& x, const NumberLanes& y, const NumberLanes& d,
                  NumberLanes& d_x, NumberLanes& d_y) {
  const PowerLanes p(x, y);
  d_x.sign += d.sign;
  d_x.log += p.x_zero | p.x_held ? all(0) : d.log * p.exponent;
  const Lanes d_exponent = p.x_zero | p.y_held ? all(0) : d.log * p.base;
  d_y.sign += d_exponent * p.size_of_y;
  d_y.log += y.log > static_cast<float>(kMostLogOfExponent) ? all(0) : d_exponent * p.exponent;
}

NumberLanes logarithm_of(const NumberLanes& x) {
  const IntLanes x_zero = x.sign == 0;
  const Lanes least = all(std::numeric_limits<float>::min()),
              most = all(static_cast<float>(kMostLog));
  Lanes size = magnitude(x.log);
  size = size < least ? least : size > most ? most : size;
  const Lanes sign = x_zero ? all(-1) : x.log > 0 ? all(1) : x.log < 0 ? all(-1) : all(0);
  const Lanes log = x.log == 0 ? all(0) : log_of(size);
  const IntLanes of_zero = x_zero & (log == log);
  // The difference: of no number there is no logarithm.
  return {sign + (x.sign - x.sign), of_zero ? log_of(most) : log};
}

IntLanes logarithm_held(const NumberLanes& x) {
  return (x.sign == 0) | (magnitude(x.log) > static_cast<float>(kMostLog));
}

void logarithm_slopes(const NumberLanes& x, const NumberLanes& d, NumberLanes& d_x) {
  const IntLanes flat = logarithm_held(x) | (magnitude(x.log) < std::numeric_limits<float>::min());
  d_x.log += flat ? all(0) : d.log / (flat ? all(1) : x.log);
}

}  // namespace

NumberLanes unwritten_result_of(Operation operation, const NumberLanes& x, const NumberLanes& y) {
  if (operation == Operation::kMax) return mixed_of(share_of_larger(x, y), x, y);
  if (operation == Operation::kMin) return mixed_of(share_of_larger(y, x), x, y);
  if (operation == Operation::kLog) return logarithm_of(x);
  const PowerLanes p(x, y);
  const Lanes log = p.exponent * p.base;
  return {x.sign, p.x_zero & (log == log) ? all(0) : log};
}

void unwritten_slopes_of(Operation operation, const NumberLanes& x, const NumberLanes& y,
                         const NumberLanes& d, NumberLanes& d_x, NumberLanes& d_y) {
  if (operation == Operation::kMax) return mixed_slopes(share_of_larger(x, y), d, d_x, d_y);
  if (operation == Operation::kMin) return mixed_slopes(share_of_larger(y, x), d, d_x, d_y);
  if (operation == Operation::kLog) return logarithm_slopes(x, d, d_x);
  power_slopes(x, y, d, d_x, d_y);
}

IntLanes held_of(Operation operation, const NumberLanes& x, const NumberLanes& y) {
  if (operation == Operation::kPower) return PowerLanes(x, y).held();
  return operation == Operation::kLog ? logarithm_held(x) : IntLanes{};
}

IntLanes zero_power_of(Operation operation, const NumberLanes& x, const NumberLanes& y) {
  return operation == Operation::kPower ? (x.sign == 0) & (y.sign < 0) : IntLanes{};
}

}  // namespace fathom::dag
