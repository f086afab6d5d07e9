#include "experiments/dag/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>

#include "experiments/dag/baselines.h"
#include "fathom/data/numbers/english.h"

namespace fathom::dag {
namespace {

template <class Number>
std::vector<Number> plain(const Tensor& x, at::ScalarType type) {
  if (!x.defined()) return {};
  const Tensor y = x.detach().to(at::kCPU, type).contiguous();
  return {y.data_ptr<Number>(), y.data_ptr<Number>() + y.numel()};
}
std::vector<double> reals(const Tensor& x) {
  return plain<double>(x, at::kDouble);
}
std::vector<int64_t> wholes(const Tensor& x) {
  return plain<int64_t>(x, at::kLong);
}

TruePrograms true_programs(const ProgramTargets& targets, const AskedPrograms& asked) {
  TruePrograms truth;
  truth.P = targets.op_PD.size(0);
  truth.V = targets.sign_PV.size(1);
  truth.D = targets.op_PD.size(1);
  truth.sign = reals(targets.sign_PV);
  truth.log = reals(targets.log_PV);
  truth.used = wholes(targets.used_PV);
  truth.op = wholes(targets.op_PD);
  truth.result = reals(targets.value_P);
  truth.real = wholes(targets.real_P);
  truth.wording = wholes(targets.wording_P);
  truth.sequence = wholes(asked.sequence_P);
  truth.number = wholes(asked.number_P);
  return truth;
}

// A program's entries of a list of `n` each.
template <class T>
std::vector<T> row(const std::vector<T>& all, int64_t p, int64_t n) {
  return {all.begin() + p * n, all.begin() + (p + 1) * n};
}

using Guesses = std::vector<std::optional<Guess>>;  // of each program

// What the model says.
Guesses said_guesses(const ReadPrograms& read, const DagSettings& settings) {
  Guesses guesses;
  for (int64_t p = 0; p < read.P; ++p) {
    Guess guess;
    guess.op = guess.program = row(read.op, p, read.D);
    guess.sign = row(read.sign, p, read.V);
    guess.log = row(read.log, p, read.V);
    const double result = hard_steps(read, p, settings).back();
    guess.result = {result, result};
    guess.negative = result < 0;
    guesses.emplace_back(std::move(guess));
  }
  return guesses;
}

// Each half's constant, as the other half has it.
Guesses baseline_guesses(const TruePrograms& truth) {
  const std::array<std::optional<Guess>, 2> halves = constant_guesses(truth);
  Guesses guesses;
  for (const int64_t sequence : truth.sequence) guesses.push_back(halves.at(size_t(sequence % 2)));
  return guesses;
}

constexpr size_t kScores = 8;
constexpr std::array<const char*, kScores> kNames = {
    "op_accuracy", "full_program_match", "sign_accuracy",  "magnitude_error",
    "log_mse",     "execution_1e-6",     "execution_0.01", "result_sign_accuracy"};
constexpr size_t kExecution = 6;  // of 0.01
constexpr std::array<size_t, 2> kExecutions = {5, kExecution};
using Scores = std::array<Metric, kScores>;

Metric one(bool right) {
  return {right ? 1.0 : 0.0, 1};
}

// What a guess of program p adds to each of them.
Scores scores_of(const TruePrograms& truth, int64_t p, const Guess& said) {
  const int64_t* program = truth.program(p);
  Metric op, sign, magnitude, log;
  for (size_t d = 0; d < said.op.size(); ++d) op += one(said.op[d] == program[d]);
  for (size_t v = 0; v < said.log.size(); ++v) {
    const size_t at = size_t(p * truth.V) + v;
    if (truth.used[at] == 0) continue;
    const double l = said.log[v], t = truth.log[at], size = std::exp(t);
    sign += one(said.sign[v] == truth.sign[at]);
    magnitude += {std::abs(std::exp(l) - size) / std::max(size, 1e-8), 1};
    log += {(l - t) * (l - t), 1};
  }
  const double result = truth.result[size_t(p)];
  return {op,
          one(std::equal(said.program.begin(), said.program.end(), program)),
          sign,
          magnitude,
          log,
          one(is_right(said.result[0], result, kTolerances[0])),
          one(is_right(said.result[1], result, kTolerances[1])),
          one(said.negative == (result < 0))};
}

// Programs that are told of by themselves, by the ending of the names.
std::map<std::string, std::vector<int64_t>> groups_of(const TruePrograms& truth) {
  static constexpr std::array<std::pair<Wording, const char*>, 3> kWordings = {
      {{Wording::kSymbols, "symbols"}, {Wording::kMixed, "mixed"}, {Wording::kWords, "words"}}};
  std::map<std::string, std::vector<int64_t>> groups;
  for (int64_t p = 0; p < truth.P; ++p) {
    groups[fmt::format(".ops{}", truth.real[size_t(p)])].push_back(p);
    for (const auto& [wording, name] : kWordings)
      if (truth.wording[size_t(p)] == static_cast<int64_t>(wording))
        groups[fmt::format(".{}", name)].push_back(p);
  }
  return groups;
}

class Collected {
 public:
  Collected(const TruePrograms& truth, const DagSettings& settings)
      : truth_(truth), settings_(settings) {
    for (int64_t p = 0; p < truth.P; ++p) {
      all_.push_back(p);
      if (truth.result[size_t(p)] != 0) nonzero_.push_back(p);
    }
  }

  // `ending` of the names: whose guesses they are.
  void add(const Guesses& guesses, const std::string& ending, bool details) {
    std::vector<Scores> scores;
    for (int64_t p = 0; p < truth_.P; ++p)
      scores.push_back(guesses[size_t(p)] ? scores_of(truth_, p, *guesses[size_t(p)]) : Scores());
    add_sums(scores, all_, ending);
    if (!details) return;
    // A difference that is 0 is right only where both values are, to the last bit.
    for (const size_t i : kExecutions) add_sum(i, scores, nonzero_, ending + ".nonzero");
    for (const auto& [group, programs] : groups_of(truth_))
      add_sums(scores, programs, ending + group);
    for (size_t k = 0; k < settings_.operations.size(); ++k)
      add_operation(int64_t(k), guesses, scores, ending);
  }
  void add_shares() {
    const auto n = static_cast<double>(truth_.op.size());
    for (size_t k = 0; k < settings_.operations.size(); ++k)
      metrics_[std::string("op_target.") + to_text(settings_.operations[k])] = {
          double(std::count(truth_.op.begin(), truth_.op.end(), int64_t(k))), n};
  }
  std::map<std::string, Metric> take() { return std::move(metrics_); }

 private:
  void add_sums(const std::vector<Scores>& scores, const std::vector<int64_t>& programs,
                const std::string& ending) {
    for (size_t i = 0; i < kScores; ++i) add_sum(i, scores, programs, ending);
  }
  void add_sum(size_t i, const std::vector<Scores>& scores, const std::vector<int64_t>& programs,
               const std::string& ending) {
    Metric sum;
    for (const int64_t p : programs) sum += scores[size_t(p)].at(i);
    if (sum.count > 0) metrics_[kNames.at(i) + ending] = sum;
  }

  // Of operations that are to be number k, and of the programs that they are in.
  void add_operation(int64_t k, const Guesses& guesses, const std::vector<Scores>& scores,
                     const std::string& ending) {
    Metric named, executed;
    for (int64_t p = 0; p < truth_.P; ++p) {
      const int64_t* program = truth_.program(p);
      const auto D = static_cast<size_t>(truth_.D);
      if (!guesses[size_t(p)] || std::find(program, program + D, k) == program + D) continue;
      for (size_t d = 0; d < D; ++d)
        if (program[d] == k) named += one(guesses[size_t(p)]->op[d] == k);
      executed += scores[size_t(p)].at(kExecution);
    }
    if (named.count == 0) return;
    const std::string group =
        fmt::format("{}.{}", ending, to_text(settings_.operations[size_t(k)]));
    metrics_[kNames[0] + group] = named;
    metrics_[kNames[kExecution] + group] = executed;
  }

  const TruePrograms& truth_;
  const DagSettings& settings_;
  std::vector<int64_t> all_, nonzero_;
  std::map<std::string, Metric> metrics_;
};

std::vector<double> stack_steps(const ReadPrograms& programs, int64_t p,
                                const std::vector<Operation>& operations) {
  std::vector<double> steps;
  double top = programs.value(p, programs.V - 1);
  for (int64_t d = 0; d < programs.D; ++d) {
    const Operation operation = operations.at(size_t(programs.op[size_t(p * programs.D + d)]));
    top = fathom::apply(operation, programs.value(p, programs.V - 2 - d), top);
    steps.push_back(top);
  }
  return steps;
}

std::vector<double> list_steps(const ReadPrograms& programs, int64_t p,
                               const std::vector<Operation>& operations) {
  std::vector<double> list = {programs.value(p, 0)};
  for (size_t at = size_t(p * programs.D); at < size_t((p + 1) * programs.D); ++at)
    list.push_back(fathom::apply(operations.at(size_t(programs.op[at])),
                                 list.at(size_t(programs.operand1[at])),
                                 list.at(size_t(programs.operand2[at]))));
  return {list.begin() + 1, list.end()};
}

}  // namespace

double ReadPrograms::value(int64_t p, int64_t v) const {
  const auto at = size_t(p * V + v);
  return sign[at] * std::exp(log[at]);
}

ReadPrograms read_off(const SaidPrograms& said) {
  const Numbers& values = said.values_PV;
  const Tensor magnitude_PV =
      values.is_linear() ? values.real.abs().clamp_min(1e-8).log() : values.log;
  ReadPrograms read;
  read.P = magnitude_PV.size(0);
  read.V = magnitude_PV.size(1);
  read.D = said.op_PDN.size(1);
  read.log = reals(magnitude_PV);
  read.sign = reals(values.is_linear() ? values.real : values.sign);
  for (double& sign : read.sign) sign = sign >= 0 ? 1 : -1;
  read.op = wholes(said.op_PDN.argmax(2));
  if (!said.operand1_PDS.defined()) return read;
  read.operand1 = wholes(said.operand1_PDS.argmax(2));
  read.operand2 = wholes(said.operand2_PDS.argmax(2));
  return read;
}

std::vector<double> hard_steps(const ReadPrograms& programs, int64_t p,
                               const DagSettings& settings) {
  return settings.executor == Executor::kStack ? stack_steps(programs, p, settings.operations)
                                               : list_steps(programs, p, settings.operations);
}

std::map<std::string, Metric> program_metrics(const SaidPrograms& said,
                                              const ProgramTargets& targets,
                                              const AskedPrograms& asked,
                                              const DagSettings& settings, bool details) {
  if (asked.count() == 0) return {};
  const TruePrograms truth = true_programs(targets, asked);
  Collected collected(truth, settings);
  collected.add(said_guesses(read_off(said), settings), "", details);
  if (details) {
    collected.add(baseline_guesses(truth), "_baseline", details);
    collected.add_shares();
  }
  return collected.take();
}

}  // namespace fathom::dag
