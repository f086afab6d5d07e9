#include "experiments/dag/program_loops.h"

#include <algorithm>
#include <cmath>

#include "experiments/dag/program_lanes.h"
#include "fathom/kernels/units.h"

namespace fathom::dag {
namespace {

constexpr int64_t kRowsOfUnit = 128;
constexpr int64_t kSmall = 1 << 13;  // results that are not worth a second thread

// Rows that lie `stride` apart; lanes beyond them are 0.
Lanes load(const float* p, int64_t stride, int64_t rows) {
  if (rows == kLanes) return Lanes{p[0], p[stride], p[2 * stride], p[3 * stride]};
  Lanes x = {};
  for (int64_t i = 0; i < rows; ++i) x[i] = p[i * stride];
  return x;
}

void store(Lanes x, float* p, int64_t stride, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) p[i * stride] = x[i];
}

bool adds(const RowPrograms& p) {
  return std::any_of(p.operations.begin(), p.operations.end(),
                     [](Operation o) { return o == Operation::kAdd || o == Operation::kSubtract; });
}

// The programs of up to kLanes rows from `row` on. A program's numbers are the values that it
// begins with, V of them, and behind them what its operations gave. Without `kUnwritten` all of
// them are those that texts write down: what is never called leaves these in registers.
template <bool kUnwritten>
class ProgramLanes {
 public:
  explicit ProgramLanes(const RowPrograms& p)
      : p_(p),
        clip_(p.clip, p.log_limit),
        adds_(adds(p)),
        V_(p.values()),
        numbers_(static_cast<size_t>(V_ + p.D)),
        d_numbers_(numbers_.size()) {}

  void run(int64_t row, int64_t rows, const RowSteps<float>& steps, RowCounts* counts) {
    begin(row, rows);
    for (int64_t k = 0; k < p_.D; ++k) {
      const NumberLanes x = operand(0, k), y = operand(1, k);
      const SumLanes sums = adds_ ? sums_of(x, y) : SumLanes{};
      NumberLanes mixed = {};
      for (int64_t n = 0; n < p_.names(); ++n) {
        const Operation operation = p_.operations[static_cast<size_t>(n)];
        const NumberLanes raw = result(operation, x, y, sums), z = clipped(operation, raw);
        const Lanes share = load_share(p_.op, p_.names(), k, n);
        mixed.sign += share * z.sign, mixed.log += share * z.log;
        if (counts != nullptr) count(operation, x, y, raw, z, *counts);
      }
      number(V_ + k) = mixed;
      store(mixed.sign, steps.sign[static_cast<size_t>(k)] + row_, 1, rows_);
      store(mixed.log, steps.log[static_cast<size_t>(k)] + row_, 1, rows_);
    }
  }

  void run_backward(int64_t row, int64_t rows, const RowSteps<const float>& steps,
                    const RowSteps<const float>& d_steps, const RowGradients& gradients) {
    begin(row, rows);
    std::fill(d_numbers_.begin(), d_numbers_.end(), NumberLanes{});
    for (int64_t k = 0; k < p_.D; ++k) {
      number(V_ + k) = step_of(steps, k);
      d_number(V_ + k) = step_of(d_steps, k);
    }
    float* const d_operands[2] = {gradients.operand1, gradients.operand2};
    for (int64_t k = p_.D - 1; k >= 0; --k) {
      const NumberLanes x = operand(0, k), y = operand(1, k);
      NumberLanes d_x = {}, d_y = {};
      step_backward(k, x, y, gradients.op, d_x, d_y);
      operand_backward(0, k, d_x, d_operands[0]);
      operand_backward(1, k, d_y, d_operands[1]);
    }
    for (int64_t i = 0; i < V_; ++i) {
      const int64_t at = row_ * V_ + i;
      if (gradients.sign != nullptr) store(d_number(i).sign, gradients.sign + at, V_, rows_);
      if (gradients.log != nullptr) store(d_number(i).log, gradients.log + at, V_, rows_);
    }
  }

 private:
  NumberLanes& number(int64_t i) { return numbers_[static_cast<size_t>(i)]; }
  NumberLanes& d_number(int64_t i) { return d_numbers_[static_cast<size_t>(i)]; }

  void begin(int64_t row, int64_t rows) {
    row_ = row, rows_ = rows;
    for (int64_t i = 0; i < V_; ++i)
      number(i) = {load(p_.sign + row * V_ + i, V_, rows), load(p_.log + row * V_ + i, V_, rows)};
  }

  NumberLanes step_of(const RowSteps<const float>& steps, int64_t k) const {
    const auto part = [&](const float* step_R) {
      return step_R == nullptr ? Lanes{} : load(step_R + row_, 1, rows_);
    };
    return {part(steps.sign[static_cast<size_t>(k)]), part(steps.log[static_cast<size_t>(k)])};
  }

  // Shares (R, D, width): step k's of the i-th.
  int64_t place_of_share(int64_t width, int64_t k, int64_t i) const {
    return (row_ * p_.D + k) * width + i;
  }
  Lanes load_share(const float* shares, int64_t width, int64_t k, int64_t i) const {
    return load(shares + place_of_share(width, k, i), p_.D * width, rows_);
  }
  void store_share(Lanes x, float* shares, int64_t width, int64_t k, int64_t i) const {
    store(x, shares + place_of_share(width, k, i), p_.D * width, rows_);
  }

  // Which number is operand 0 or 1 of a stack's step k: the deeper one comes first.
  int64_t taken(int which, int64_t k) const {
    return which == 0 ? p_.D - 1 - k : k == 0 ? p_.D : V_ + k - 1;
  }

  NumberLanes operand(int which, int64_t k) {
    if (p_.is_stack()) return number(taken(which, k));
    const float* shares = which == 0 ? p_.operand1 : p_.operand2;
    NumberLanes mixed = {};
    for (int64_t i = 0; i <= k; ++i) {
      const Lanes share = load_share(shares, p_.slots(), k, i);
      mixed.sign += share * number(i).sign, mixed.log += share * number(i).log;
    }
    return mixed;
  }

  void operand_backward(int which, int64_t k, const NumberLanes& d, float* d_shares) {
    if (p_.is_stack()) {
      NumberLanes& to = d_number(taken(which, k));
      to.sign += d.sign, to.log += d.log;
      return;
    }
    const float* shares = which == 0 ? p_.operand1 : p_.operand2;
    for (int64_t i = 0; i < p_.slots(); ++i) {
      if (i <= k) {
        const Lanes share = load_share(shares, p_.slots(), k, i);
        d_number(i).sign += share * d.sign, d_number(i).log += share * d.log;
      }
      if (d_shares == nullptr) continue;
      const Lanes d_share = i <= k ? d.sign * number(i).sign + d.log * number(i).log : Lanes{};
      store_share(d_share, d_shares, p_.slots(), k, i);
    }
  }

  void step_backward(int64_t k, const NumberLanes& x, const NumberLanes& y, float* d_shares,
                     NumberLanes& d_x, NumberLanes& d_y) {
    const NumberLanes d = d_number(V_ + k);
    const SumLanes sums = adds_ ? sums_of(x, y) : SumLanes{};
    for (int64_t n = 0; n < p_.names(); ++n) {
      const Operation operation = p_.operations[static_cast<size_t>(n)];
      const NumberLanes raw = result(operation, x, y, sums);
      if (d_shares != nullptr) {
        const NumberLanes z = clipped(operation, raw);
        store_share(d.sign * z.sign + d.log * z.log, d_shares, p_.names(), k, n);
      }
      const Lanes share = load_share(p_.op, p_.names(), k, n), d_log = share * d.log;
      const bool clips = operation != Operation::kIdentity;
      const NumberLanes d_raw = {share * d.sign, clips ? clip_.slope(raw.log, d_log) : d_log};
      if (kUnwritten && !is_written(operation))
        unwritten_slopes_of(operation, x, y, d_raw, d_x, d_y);
      else
        slopes_of(operation, x, y, sums, d_raw, d_x, d_y);
    }
  }

  NumberLanes result(Operation operation, const NumberLanes& x, const NumberLanes& y,
                     const SumLanes& sums) const {
    if (kUnwritten && !is_written(operation)) return unwritten_result_of(operation, x, y);
    return result_of(operation, x, y, sums);
  }
  NumberLanes clipped(Operation operation, const NumberLanes& raw) const {
    return {raw.sign, operation == Operation::kIdentity ? raw.log : clip_.clipped(raw.log)};
  }

  void count(Operation operation, const NumberLanes& x, const NumberLanes& y,
             const NumberLanes& raw, const NumberLanes& z, RowCounts& counts) const {
    const bool clamps = p_.clip == Clip::kClamp && operation != Operation::kIdentity;
    IntLanes cancelled = {};
    if (operation == Operation::kAdd) cancelled = meeting_of(x, y).cancelled;
    if (operation == Operation::kSubtract) cancelled = meeting_of(x, {-y.sign, y.log}).cancelled;
    IntLanes by_zero = operation == Operation::kDivide ? y.sign == 0 : IntLanes{}, held = {};
    if (kUnwritten) by_zero |= zero_power_of(operation, x, y), held = held_of(operation, x, y);
    const IntLanes beyond = clip_.beyond(raw.log);
    counts.results += rows_;
    for (int64_t i = 0; i < rows_; ++i) {
      counts.clamped += (clamps && beyond[i]) || held[i];
      counts.cancelled += cancelled[i] != 0;
      counts.divided_by_zero += by_zero[i] != 0;
      counts.nonfinite += !std::isfinite(z.sign[i]) || !std::isfinite(z.log[i]);
    }
  }

  const RowPrograms& p_;
  const ClipLanes clip_;
  const bool adds_;
  const int64_t V_;
  int64_t row_ = 0, rows_ = 0;
  std::vector<NumberLanes> numbers_, d_numbers_;
};

int64_t units_of(const RowPrograms& p) {
  return (p.R + kRowsOfUnit - 1) / kRowsOfUnit;
}

// f(programs, unit, row, rows) for all rows, kLanes at a time.
template <bool kUnwritten, class F>
void for_lanes_of(const RowPrograms& p, const F& f) {
  run_units(units_of(p), p.R * p.D * p.names() < kSmall, [&](int64_t unit) {
    ProgramLanes<kUnwritten> programs(p);
    const int64_t end = std::min(p.R, (unit + 1) * kRowsOfUnit);
    for (int64_t row = unit * kRowsOfUnit; row < end; row += kLanes)
      f(programs, unit, row, std::min<int64_t>(kLanes, end - row));
  });
}

template <class F>
void for_each_lanes(const RowPrograms& p, const F& f) {
  if (std::all_of(p.operations.begin(), p.operations.end(), is_written))
    for_lanes_of</*kUnwritten=*/false>(p, f);
  else
    for_lanes_of</*kUnwritten=*/true>(p, f);
}

}  // namespace

void run_programs(const RowPrograms& p, const RowSteps<float>& steps, RowCounts* counts) {
  std::vector<RowCounts> by_unit(counts == nullptr ? 0 : static_cast<size_t>(units_of(p)));
  for_each_lanes(p, [&](auto& programs, int64_t unit, int64_t row, int64_t rows) {
    programs.run(row, rows, steps, counts == nullptr ? nullptr : &by_unit[size_t(unit)]);
  });
  for (const RowCounts& c : by_unit) {
    counts->results += c.results, counts->clamped += c.clamped, counts->cancelled += c.cancelled;
    counts->divided_by_zero += c.divided_by_zero, counts->nonfinite += c.nonfinite;
  }
}

void run_programs_backward(const RowPrograms& p, const RowSteps<const float>& steps,
                           const RowSteps<const float>& d_steps, const RowGradients& gradients) {
  for_each_lanes(p, [&](auto& programs, int64_t, int64_t row, int64_t rows) {
    programs.run_backward(row, rows, steps, d_steps, gradients);
  });
}

}  // namespace fathom::dag
