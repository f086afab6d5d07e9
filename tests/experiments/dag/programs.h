// Programs by hand: labels of a batch, and what F.dag could have recorded.
#pragma once

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "experiments/dag/losses.h"
#include "experiments/dag/records.h"
#include "fathom/data/numbers/english.h"
#include "fathom/data/numbers/numbers_data.h"
#include "fathom/model/walk/rows.h"
#include "ops/testing.h"

namespace fathom::testing {

inline Tensor table_of(const std::vector<std::vector<double>>& rows) {
  const auto n = static_cast<int64_t>(rows.size()), k = static_cast<int64_t>(rows.at(0).size());
  const Tensor x = at::zeros({n, k}, at::TensorOptions(at::kDouble));
  for (size_t i = 0; i < rows.size(); ++i)
    std::copy(rows[i].begin(), rows[i].end(), x.data_ptr<double>() + int64_t(i) * k);
  return x;
}

// A sequence's program as its labels have it. Without values: the sequence is a stream.
struct Written {
  std::vector<double> values;
  std::vector<Operation> operations;
  double result = 0;
  std::vector<double> used = std::vector<double>(values.size(), 1);
  int64_t real = static_cast<int64_t>(operations.size());
  Wording wording = Wording::kSymbols;
};

// T = 4 tokens each, the last two of which are supervised and the last one of which is the
// result's; D operations a program.
inline constexpr int64_t kWrittenT = 4;
inline Batch batch_of_programs(const std::vector<Written>& sequences, int64_t D) {
  const auto B = static_cast<int64_t>(sequences.size());
  Batch batch;
  batch.tokens_BT = at::ones({B, kWrittenT}, at::TensorOptions(at::kLong));
  batch.targets_BT = batch.tokens_BT.clone();
  const std::vector<double> zeros(static_cast<size_t>(D) + 1);
  std::vector<std::vector<double>> sign, log, used, op, value, real, wording, supervised, result;
  for (const Written& s : sequences) {
    const bool is_one = !s.values.empty();
    supervised.push_back({0, 0, is_one ? 1. : 0., is_one ? 1. : 0.});
    result.push_back({0, 0, 0, 1});
    std::vector<double> signs = zeros, logs = zeros, ops(size_t(D), 0);
    for (size_t v = 0; v < s.values.size(); ++v) {
      signs[v] = s.values[v] >= 0 ? 1 : -1;
      logs[v] = std::log(std::max(std::abs(s.values[v]), 1e-8));
    }
    for (size_t d = 0; d < s.operations.size(); ++d) ops[d] = double(s.operations[d]);
    sign.push_back(signs);
    log.push_back(logs);
    used.push_back(is_one ? s.used : zeros);
    op.push_back(ops);
    value.push_back({s.result});
    real.push_back({double(s.real)});
    wording.push_back({double(s.wording)});
  }
  const auto put = [&](const char* name, const std::vector<std::vector<double>>& x) {
    batch.labels[name] = table_of(x).to(at::kFloat);
  };
  put(kProgramSign, sign);
  put(kProgramLog, log);
  put(kProgramUsed, used);
  put(kProgramValue, value);
  put(kProgramReal, real);
  put(kProgramWording, wording);
  for (const auto& [name, x] :
       {std::pair{kProgramOp, op}, {kSupervised, supervised}, {kResult, result}})
    batch.labels[name] = table_of(x).to(at::kLong);
  return batch;
}

inline dag::DagSettings stack_settings(int64_t depth = 2) {
  dag::DagSettings settings;
  settings.depth = depth;
  settings.executor = dag::Executor::kStack;
  settings.operations = {kWrittenOperations.begin(), kWrittenOperations.end()};
  return settings;
}

inline const std::vector<Operation> kListOperations = {Operation::kAdd, Operation::kIdentity,
                                                       Operation::kMultiply, Operation::kSubtract};
inline dag::DagSettings list_settings(int64_t depth = 2) {
  dag::DagSettings settings;
  settings.depth = depth;
  settings.operations = kListOperations;
  return settings;
}

// What a stack of D = settings.depth operations is when every row knows its sequence's program.
inline dag::Recorded knows(const Batch& batch, const dag::DagSettings& settings) {
  dag::AskedPrograms all;
  all.sequence_P = at::ones({batch.tokens_BT.numel()}, at::TensorOptions(at::kLong)).cumsum(0) - 1;
  all.sequence_P = all.sequence_P.div(kWrittenT, "floor");
  all.number_P = all.sequence_P;
  const dag::ProgramTargets right = dag::targets_of(batch, all, settings);
  const auto R = all.count();
  const auto N = static_cast<int64_t>(settings.operations.size());
  dag::Recorded seen;
  seen.values_RV.sign = right.sign_PV.clone();
  seen.values_RV.log = right.log_PV.clone();
  seen.op_RX = at::zeros({R, settings.depth, N}, seen.values_RV.log.options())
                   .scatter(2, right.op_PD.clamp_min(0).unsqueeze(2), 1)
                   .view({R, -1});
  return seen;
}

}  // namespace fathom::testing
