#include "experiments/dag/losses.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/data/numbers/numbers_data.h"
#include "fathom/model/walk/rows.h"

namespace fathom::dag {
namespace {

constexpr double kLeastMagnitude = 1e-8, kLeastShare = 1e-8;

const Tensor& label(const Batch& batch, const char* name) {
  const auto found = batch.labels.find(name);
  if (found == batch.labels.end())
    fail(fmt::format("the batch has labels of programs, but no {}", name),
         "data of programs has all columns of data/numbers/numbers_data.h");
  return found->second;
}

// That a sequence's columns have room for.
int64_t programs_of_sequence(const Batch& batch) {
  return label(batch, kProgramValue).size(1);
}

// (P, k) of a column of sequences.
Tensor of_asked(const Batch& batch, const char* name, const AskedPrograms& asked) {
  const Tensor& all_BX = label(batch, name);
  const int64_t n = programs_of_sequence(batch);
  return all_BX.reshape({all_BX.size(0) * n, all_BX.size(1) / n}).index_select(0, asked.number_P);
}

// x (P, k) with columns of `value` on the right, n in all.
Tensor padded_right(const Tensor& x, int64_t n, double value) {
  return at::cat({x, at::full({x.size(0), n - x.size(1)}, value, x.options())}, 1);
}

// Of each name in the order of kWrittenOperations, its index in the model's list; -1: it is not
// there.
Tensor index_in_model(const std::vector<Operation>& operations, at::Device device) {
  std::vector<int64_t> index;
  for (const Operation name : kWrittenOperations) {
    const auto found = std::find(operations.begin(), operations.end(), name);
    index.push_back(found == operations.end() ? -1 : found - operations.begin());
  }
  return index_tensor(index, device);
}

Tensor at_least_single(const Tensor& x) {
  return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

// (R, k) -> (P, k).
class Asking {
 public:
  Asking(const AskedPrograms& asked, const Batch& batch)
      : asked_(asked), B_(batch.tokens_BT.size(0)) {
    if (asked.row_P.defined() || !batch.valid_BT.defined()) return;
    valid_BT1_ = batch.valid_BT.unsqueeze(2);
    count_B1_ = batch.valid_BT.sum(1, /*keepdim=*/true).clamp_min(1);
  }

  Tensor operator()(const Tensor& x_Rk) const {
    const Tensor x = at_least_single(x_Rk);
    if (asked_.row_P.defined()) return x.index_select(0, asked_.row_P);
    const Tensor x_BTk = x.view({B_, -1, x.size(1)});
    const Tensor mean_Bk = valid_BT1_.defined()
                               ? x_BTk.masked_fill(valid_BT1_.logical_not(), 0).sum(1) / count_B1_
                               : x_BTk.mean(1);
    return mean_Bk.index_select(0, asked_.sequence_P);
  }

 private:
  const AskedPrograms& asked_;
  int64_t B_;
  Tensor valid_BT1_, count_B1_;
};

// weight * x_Pk over what counts.
LossPart part_of(const char* name, double weight, const Tensor& x_Pk, const Tensor& counts_Pk,
                 const AskedPrograms& asked, int64_t B) {
  const Tensor sum_P = weight * x_Pk.masked_fill(counts_Pk.logical_not(), 0).sum(1);
  LossPart part = {name, sum_P.sum(), counts_Pk.sum().item<double>()};
  if (at::GradMode::is_enabled()) return part;
  const auto by_sequence = [&](const Tensor& x_P) {
    return at::zeros({B}, x_P.options().dtype(at::kDouble))
        .index_add(0, asked.sequence_P, x_P.to(at::kDouble))
        .to(at::kCPU);
  };
  part.sum_B = by_sequence(sum_P);
  part.count_B = by_sequence(counts_Pk.sum(1));
  return part;
}

}  // namespace

AskedPrograms asked_of(const Batch& batch, Targets targets) {
  AskedPrograms asked;
  if (batch.labels.count(kProgramSign) == 0) return asked;
  const int64_t n = programs_of_sequence(batch);
  if (targets == Targets::kSequence) {
    // Signs are never 0 but where there is no program.
    asked.sequence_P = label(batch, kProgramSign).select(1, 0).ne(0).nonzero().squeeze(1);
    asked.number_P = asked.sequence_P * n;
    return asked;
  }
  const Tensor supervised_R = label(batch, kSupervised).flatten();
  asked.row_P = supervised_R.ne(0).nonzero().squeeze(1);
  asked.sequence_P = asked.row_P.div(label(batch, kSupervised).size(1), "floor");
  asked.number_P = asked.sequence_P * n + supervised_R.index_select(0, asked.row_P) - 1;
  return asked;
}

bool fits(const Batch& batch, const DagSettings& settings) {
  return label(batch, kProgramOp).size(1) <= settings.depth * programs_of_sequence(batch);
}

ProgramTargets targets_of(const Batch& batch, const AskedPrograms& asked,
                          const DagSettings& settings) {
  Tensor op_Pd = of_asked(batch, kProgramOp, asked).to(at::kLong);
  const int64_t d = op_Pd.size(1), D = settings.depth, S = settings.slots();
  if (!fits(batch, settings))
    misuse(fmt::format("programs of numbers_depth = {} do not fit dag_depth = {}", d, D),
           fmt::format("use --numbers_depth={}, or a model with --dag_depth={}", D, d));
  ProgramTargets targets;
  targets.sign_PV = padded_right(of_asked(batch, kProgramSign, asked), S, 1);
  targets.log_PV = padded_right(of_asked(batch, kProgramLog, asked), S, 0);
  targets.used_PV = padded_right(of_asked(batch, kProgramUsed, asked).ne(0), S, 0);
  const auto identity = static_cast<double>(Operation::kIdentity);
  op_Pd = at::cat({at::full({op_Pd.size(0), D - d}, identity, op_Pd.options()), op_Pd}, 1);
  targets.op_PD = index_in_model(settings.operations, op_Pd.device())
                      .index_select(0, op_Pd.flatten())
                      .view_as(op_Pd);
  targets.value_P = of_asked(batch, kProgramValue, asked).select(1, 0);
  targets.real_P = of_asked(batch, kProgramReal, asked).select(1, 0).to(at::kLong);
  targets.wording_P = of_asked(batch, kProgramWording, asked).select(1, 0).to(at::kLong);
  return targets;
}

SaidPrograms said_of(const Recorded& seen, const AskedPrograms& asked, const Batch& batch,
                     const DagSettings& settings) {
  const Asking ask(asked, batch);
  const int64_t P = asked.count(), D = settings.depth;
  SaidPrograms said;
  if (seen.values_RV.is_linear())
    said.values_PV.real = ask(seen.values_RV.real);
  else
    said.values_PV.sign = ask(seen.values_RV.sign), said.values_PV.log = ask(seen.values_RV.log);
  said.op_PDN = ask(seen.op_RX).view({P, D, int64_t(settings.operations.size())});
  return said;
}

std::map<std::string, double> structure_counts(const ProgramTargets& targets) {
  const double used = targets.used_PV.sum().item<double>();
  return {{"sign", used}, {"log", used}, {"op", static_cast<double>(targets.op_PD.numel())}};
}

std::vector<LossPart> structure_losses(const SaidPrograms& said, const ProgramTargets& targets,
                                       const AskedPrograms& asked, int64_t B,
                                       const LossWeights& weights) {
  std::vector<LossPart> parts;
  const Numbers& values = said.values_PV;
  const auto add = [&](const char* name, double weight, const Tensor& x_Pk, const Tensor& counts) {
    parts.push_back(part_of(name, weight, x_Pk, counts, asked, B));
  };
  if (weights.sign > 0) {
    const Tensor s_PV =
        values.is_linear() ? (values.real * (-targets.log_PV).exp()).clamp(-1, 1) : values.sign;
    add("sign", weights.sign, (s_PV - targets.sign_PV).square(), targets.used_PV);
  }
  if (weights.log > 0) {
    const Tensor l_PV =
        values.is_linear() ? values.real.abs().clamp_min(kLeastMagnitude).log() : values.log;
    add("log", weights.log, (l_PV - targets.log_PV).square(), targets.used_PV);
  }
  if (weights.op > 0) {
    if (targets.op_PD.lt(0).any().item<bool>())
      misuse(
          "the programs have an operation in number_operations (or identity, which fills them "
          "up) that dag_ops has not",
          "add it to --dag_ops, or leave it out of --number_operations");
    const Tensor p_PD = said.op_PDN.gather(2, targets.op_PD.unsqueeze(2)).squeeze(2);
    add("op", weights.op, -(p_PD + kLeastShare).log(), at::ones_like(p_PD).to(at::kBool));
  }
  return parts;
}

}  // namespace fathom::dag
