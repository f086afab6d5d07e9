#include "experiments/dag/program_trace.h"

#include <algorithm>
#include <cmath>

#include "experiments/dag/metrics.h"
#include "experiments/dag/recorded.h"
#include "fathom/base/error.h"
#include "fathom/model/walk/rows.h"

namespace fathom::dag {
namespace {

// (R, width) as plain numbers.
class Plain {
 public:
  explicit Plain(const Tensor& x_RX) {
    if (!x_RX.defined()) return;
    x_RX_ = x_RX.detach().to(at::kCPU, at::kDouble).contiguous();
  }
  std::vector<double> row(int64_t r) const {
    if (!x_RX_.defined()) return {};
    const double* begin = x_RX_.data_ptr<double>() + r * x_RX_.size(1);
    return {begin, begin + x_RX_.size(1)};
  }

 private:
  Tensor x_RX_;
};

class PlainNumbers {
 public:
  explicit PlainNumbers(const Numbers& x) : real_(x.real), sign_(x.sign), log_(x.log) {}

  std::vector<double> values(int64_t r) const {
    std::vector<double> out = real_.row(r), sign = sign_.row(r), log = log_.row(r);
    for (size_t i = 0; i < sign.size(); ++i) out.push_back(sign[i] * std::exp(log[i]));
    return out;
  }
  void read(int64_t r, TokenProgram& to) const {
    to.values = values(r);
    to.value_signs = sign_.row(r);
    to.value_logs = log_.row(r);
    for (const double v : real_.row(r)) {
      to.value_signs.push_back(v >= 0 ? 1 : -1);
      to.value_logs.push_back(std::log(std::max(std::abs(v), 1e-8)));
    }
  }

 private:
  Plain real_, sign_, log_;
};

// D rows of equal length; the largest of each.
void likeliest(const std::vector<double>& shares, int64_t D, std::vector<size_t>& which,
               std::vector<double>& share) {
  const auto width = static_cast<int64_t>(shares.size()) / D;
  for (int64_t d = 0; d < D && width > 0; ++d) {
    const auto begin = shares.begin() + d * width;
    const auto most = std::max_element(begin, begin + width);
    which.push_back(static_cast<size_t>(most - begin));
    share.push_back(*most);
  }
}

// Every row as one program.
ReadPrograms read_rows(const Recorded& seen, const DagSettings& settings) {
  const int64_t R = seen.op_RX.size(0), D = settings.depth, S = settings.slots();
  SaidPrograms said;
  said.values_PV = seen.values_RV;
  said.op_PDN = seen.op_RDN(settings);
  if (seen.operand1_RX.defined()) {
    said.operand1_PDS = seen.operand1_RX.view({R, D, S});
    said.operand2_PDS = seen.operand2_RX.view({R, D, S});
  }
  return read_off(said);
}

}  // namespace

std::vector<TokenProgram> token_programs(const Kept& kept, int steps, const Rows& rows,
                                         const DagSettings& settings, bool predictor) {
  const Recorded seen = recorded(kept, steps, settings, predictor);
  const int64_t R = seen.op_RX.size(0), D = settings.depth;
  const auto N = static_cast<std::ptrdiff_t>(settings.operations.size());
  if (R != rows.count()) fail("the rows are not those that the DAG was asked for");
  const PlainNumbers values(seen.values_RV), results(seen.steps_RD);
  const Plain op(seen.op_RX), operand1(seen.operand1_RX), operand2(seen.operand2_RX),
      gate(seen.gate_R1);
  const ReadPrograms read = read_rows(seen, settings);
  std::vector<TokenProgram> programs;
  for (int64_t r = 0; r < R; ++r) {
    TokenProgram program;
    program.position = rows.positions()[static_cast<size_t>(r)];
    values.read(r, program);
    const std::vector<double> shares = op.row(r);
    std::vector<size_t> which;
    likeliest(shares, D, which, program.operation_shares);
    for (const size_t n : which) program.operations.emplace_back(to_text(settings.operations[n]));
    for (int64_t d = 0; d < D; ++d)
      program.all_shares.emplace_back(shares.begin() + d * N, shares.begin() + (d + 1) * N);
    likeliest(operand1.row(r), D, program.operand1, program.operand1_shares);
    likeliest(operand2.row(r), D, program.operand2, program.operand2_shares);
    program.step_values = results.values(r);
    program.hard_values = hard_steps(read, r, settings);
    if (seen.gate_R1.defined()) program.gate = gate.row(r).at(0);
    programs.push_back(std::move(program));
  }
  return programs;
}

}  // namespace fathom::dag
