// The arithmetic of arithmetic.h of some rows side by side, and its slopes, in the compiler's own
// vector types: what program_loops.cpp goes through a program with. Without branches or calls.
//
// What is not a number stays none.
#pragma once

#include <cstdint>
#include <limits>

#include "experiments/dag/settings.h"

namespace fathom::dag {

constexpr int kLanes = 4;

typedef float Lanes __attribute__((vector_size(kLanes * 4)));
typedef int32_t IntLanes __attribute__((vector_size(kLanes * 4)));  // of comparisons: -1 or 0

inline Lanes all(float x) {
  return Lanes{x, x, x, x};
}

inline IntLanes bits_of(Lanes x) {
  return reinterpret_cast<IntLanes>(x);
}

inline Lanes floats_of(IntLanes bits) {
  return reinterpret_cast<Lanes>(bits);
}

inline Lanes magnitude(Lanes x) {
  return floats_of(bits_of(x) & 0x7FFFFFFF);
}

inline Lanes sign_of(Lanes x) {
  return x > 0 ? all(1) : x < 0 ? all(-1) : x;
}

struct ExpLanes {
  Lanes power;  // e^x
  Lanes rest;   // 1 - e^x, with all its digits where x is small
};

// Of x <= 0, the power of x <= 87 too, below -87 as at -87: x = n ln 2 + r with |r| <= ln 2 / 2,
// and the Taylor series of e^r - 1.
inline ExpLanes exp_of(Lanes x) {
  x = x < -87 ? all(-87) : x;
  // Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits.
  const Lanes round = all(12582912);
  const Lanes shifted = x * 1.44269504f + round, n = shifted - round;
  // ln 2 in two parts, the first of so few bits that n times it is exact.
  const Lanes r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Lanes p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r;
  const Lanes scale = floats_of((bits_of(shifted) - bits_of(round) + 127) << 23);
  return {scale + scale * p, (1 - scale) - scale * p};
}

// ln(1 + q) of 0 <= q <= 1, as 2 artanh(q / (2 + q)).
inline Lanes log1p_of(Lanes q) {
  const Lanes t = q / (2 + q), u = t * t;
  Lanes p = u * (1.0f / 15) + 1.0f / 13;
  p = p * u + 1.0f / 11;
  p = p * u + 1.0f / 9;
  p = p * u + 1.0f / 7;
  p = p * u + 1.0f / 5;
  p = p * u + 1.0f / 3;
  return 2 * (t + t * u * p);
}

// ln x of a normal number x > 0, of 2^n m with m between sqrt(1/2) and sqrt(2): again by artanh.
inline Lanes log_of(Lanes x) {
  const IntLanes n = (bits_of(x) - 0x3F3504F3) >> 23;
  const Lanes m = floats_of(bits_of(x) - (n << 23));
  const Lanes t = (m - 1) / (m + 1), u = t * t;
  Lanes p = u * (1.0f / 9) + 1.0f / 7;
  p = p * u + 1.0f / 5;
  p = p * u + 1.0f / 3;
  // x - x: the bits have lost what is not a number.
  return __builtin_convertvector(n, Lanes) * 0.693147181f + 2 * (t + t * u * p) + (x - x);
}

struct NumberLanes {
  Lanes sign, log;
};

// What sum and difference of the same two operands share, d being the distance of their logs.
struct SumLanes {
  Lanes ratio;          // e^-d: the smaller magnitude by the larger one
  Lanes rest;           // 1 - e^-d; where they are equal anything that is finite and not 0
  Lanes alike, unlike;  // log of the sum and of the difference of the magnitudes
};

inline SumLanes sums_of(const NumberLanes& x, const NumberLanes& y) {
  const Lanes d = magnitude(x.log - y.log), least = all(std::numeric_limits<float>::min());
  const ExpLanes exp = exp_of(-d);
  const Lanes rest = exp.rest < least ? least : exp.rest;
  const Lanes larger = x.log > y.log ? x.log : y.log;
  return {exp.power, rest, larger + log1p_of(exp.power), larger + log_of(rest)};
}

// How x and y meet in a sum.
struct MeetingLanes {
  IntLanes x_zero, y_zero, alike, cancelled;
};

inline MeetingLanes meeting_of(const NumberLanes& x, const NumberLanes& y) {
  const IntLanes x_zero = x.sign == 0, y_zero = y.sign == 0;
  const IntLanes alike = (x.sign > 0) == (y.sign > 0);
  return {x_zero, y_zero, alike, (x.log - y.log == 0) & ~(alike | x_zero | y_zero)};
}

inline NumberLanes sum_of(const NumberLanes& x, const NumberLanes& y, const SumLanes& sums) {
  const MeetingLanes m = meeting_of(x, y);
  Lanes s = m.alike ? sign_of(x.sign) : x.log > y.log ? x.sign : y.sign;
  Lanes l = m.alike ? sums.alike : sums.unlike;
  s = m.y_zero ? x.sign : s;
  l = m.y_zero ? x.log : l;
  s = m.x_zero ? y.sign : s;
  l = m.x_zero ? y.log : l;
  const IntLanes both_zero = m.x_zero & m.y_zero;
  return {m.cancelled ? all(0) : s, m.cancelled | both_zero ? all(0) : l};
}

// The slopes of a result of x and y, times its gradient d, are added to d_x and d_y.
inline void sum_slopes(const NumberLanes& x, const NumberLanes& y, const SumLanes& sums,
                       const NumberLanes& d, NumberLanes& d_x, NumberLanes& d_y) {
  const MeetingLanes m = meeting_of(x, y);
  const IntLanes x_alone = m.y_zero & ~m.x_zero, y_alone = m.x_zero & ~m.y_zero;
  const IntLanes neither = ~(m.x_zero | m.y_zero | m.cancelled), x_larger = x.log > y.log;
  // Where signs are alike the result's is 1 or -1, whatever they are.
  const IntLanes unlike = neither & ~m.alike;
  d_x.sign += (unlike & x_larger) | x_alone ? d.sign : all(0);
  d_y.sign += (unlike & ~x_larger) | m.x_zero ? d.sign : all(0);
  // l = larger + ln(1 +- e^-d)
  const Lanes of_larger = 1 / (m.alike ? 1 + sums.ratio : sums.rest);
  const Lanes of_smaller = (m.alike ? sums.ratio : -sums.ratio) * of_larger;
  const Lanes of_x = x_larger ? of_larger : of_smaller, of_y = x_larger ? of_smaller : of_larger;
  d_x.log += neither ? d.log * of_x : x_alone ? d.log : all(0);
  d_y.log += neither ? d.log * of_y : y_alone ? d.log : all(0);
}

// Before it is clipped. Of operations that texts write down, as slopes_of().
inline NumberLanes result_of(Operation operation, const NumberLanes& x, const NumberLanes& y,
                             const SumLanes& sums) {
  switch (operation) {
    case Operation::kAdd:
      return sum_of(x, y, sums);
    case Operation::kSubtract:
      return sum_of(x, {-y.sign, y.log}, sums);
    case Operation::kMultiply:
      return {x.sign * y.sign, x.log + y.log};
    case Operation::kDivide:
      return {x.sign * y.sign, x.log - (y.sign == 0 ? all(0) : y.log)};
    case Operation::kIdentity:
      return x;
    default:
      break;
  }
  __builtin_unreachable();
}

inline void slopes_of(Operation operation, const NumberLanes& x, const NumberLanes& y,
                      const SumLanes& sums, const NumberLanes& d, NumberLanes& d_x,
                      NumberLanes& d_y) {
  switch (operation) {
    case Operation::kAdd:
      return sum_slopes(x, y, sums, d, d_x, d_y);
    case Operation::kSubtract: {
      NumberLanes d_minus_y = {-d_y.sign, d_y.log};
      sum_slopes(x, {-y.sign, y.log}, sums, d, d_x, d_minus_y);
      d_y = {-d_minus_y.sign, d_minus_y.log};
      return;
    }
    case Operation::kMultiply:
      d_x.sign += d.sign * y.sign, d_y.sign += d.sign * x.sign;
      d_x.log += d.log, d_y.log += d.log;
      return;
    case Operation::kDivide:
      d_x.sign += d.sign * y.sign, d_y.sign += d.sign * x.sign;
      d_x.log += d.log, d_y.log -= y.sign == 0 ? all(0) : d.log;
      return;
    case Operation::kIdentity:
      d_x.sign += d.sign, d_x.log += d.log;
      return;
    default:
      break;
  }
  __builtin_unreachable();
}

// The same of max, min, power and log; where an operand or a result of any is held, and where 0 has
// a negative power.
NumberLanes unwritten_result_of(Operation operation, const NumberLanes& x, const NumberLanes& y);
void unwritten_slopes_of(Operation operation, const NumberLanes& x, const NumberLanes& y,
                         const NumberLanes& d, NumberLanes& d_x, NumberLanes& d_y);
IntLanes held_of(Operation operation, const NumberLanes& x, const NumberLanes& y);
IntLanes zero_power_of(Operation operation, const NumberLanes& x, const NumberLanes& y);

// How results are held to a limit.
class ClipLanes {
 public:
  ClipLanes(Clip clip, double limit) : clip_(clip), limit_(static_cast<float>(limit)) {}

  IntLanes beyond(Lanes log) const { return magnitude(log) > limit_; }

  Lanes clipped(Lanes log) const {
    if (clip_ == Clip::kNone) return log;
    if (clip_ == Clip::kTanh) {
      const ExpLanes exp = exp_of(magnitude(log) * (-2 / limit_));
      const Lanes tanh = exp.rest / (1 + exp.power);
      return limit_ * (log < 0 ? -tanh : tanh);
    }
    return log < -limit_ ? all(-limit_) : log > limit_ ? all(limit_) : log;
  }

  // Of clipped() at `log`, times d.
  Lanes slope(Lanes log, Lanes d) const {
    if (clip_ == Clip::kNone) return d;
    if (clip_ == Clip::kTanh) {
      const Lanes power = exp_of(magnitude(log) * (-2 / limit_)).power, one = 1 + power;
      return d * 4 * power / (one * one);
    }
    return beyond(log) ? all(0) : d;
  }

 private:
  Clip clip_;
  float limit_;
};

}  // namespace fathom::dag
