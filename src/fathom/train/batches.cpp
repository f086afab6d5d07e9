#include "fathom/train/batches.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <type_traits>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/word_accuracy.h"
#include "fathom/ops/autocast.h"
#include "fathom/train/loss_parts.h"

namespace fathom {
namespace {

template <class Number>
Tensor to_tensor(const std::vector<Number>& values, int64_t B, at::Device device) {
  constexpr bool kWhole = std::is_same_v<Number, int64_t>;
  const int64_t width = static_cast<int64_t>(values.size()) / B;
  const Tensor tensor = at::empty({B, width}, at::TensorOptions(kWhole ? at::kLong : at::kDouble));
  std::copy(values.begin(), values.end(), tensor.data_ptr<Number>());
  return (kWhole ? tensor : tensor.to(at::kFloat)).to(device);
}

}  // namespace

Batch to_batch(const TokenBatch& tokens, at::Device device) {
  Batch batch;
  batch.tokens_BT = to_tensor(tokens.tokens, tokens.B, device);
  batch.targets_BT = to_tensor(tokens.targets, tokens.B, device);
  for (const Column& column : tokens.columns) {
    const Tensor values =
        std::visit([&](const auto& v) { return to_tensor(v, tokens.B, device); }, column.values);
    const auto known = std::find_if(std::begin(kBatchColumns), std::end(kBatchColumns),
                                    [&](const BatchColumn& c) { return c.name == column.name; });
    if (known == std::end(kBatchColumns))
      batch.labels[column.name] = values;
    else
      batch.*known->of = values;
  }
  if (batch.valid_BT.defined()) batch.valid_BT = batch.valid_BT.to(at::kBool);
  if (batch.weight_BT.defined()) batch.weight_BT = batch.weight_BT.to(at::kFloat);
  return batch;
}

Autocast::Autocast(Precision dtype, at::Device device)
    : on_(dtype != Precision::kFloat32), cuda_(device.is_cuda()) {
  if (!on_) return;
  const auto type = dtype == Precision::kBFloat16 ? at::kBFloat16 : at::kHalf;
  at::autocast::increment_nesting();
  autocast::set_type(cuda_ ? at::kCUDA : at::kCPU, type);
  autocast::turn(cuda_ ? at::kCUDA : at::kCPU, true);
}

Autocast::~Autocast() {
  if (!on_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  autocast::turn(cuda_ ? at::kCUDA : at::kCPU, false);
}

namespace {

// Sums of one loss over all that was evaluated.
struct PartSums {
  double sum = 0, count = 0;
  std::vector<double> sums, counts;  // by sequence
  bool told = true;                  // of every sequence
  LossPart of_means = {{}, {}, 0};   // a function of means; without them
  StepSums step;                     // its

  double mean() const {
    return of_means.of_means ? value_of_means(of_means, step.means.at(of_means.name)) : sum / count;
  }
  void add(const LossPart& part, int64_t B) {
    if (part.count > 0) sum += part.sum.item<double>();
    if (part.of_means) {
      of_means.name = part.name;
      of_means.of_means = part.of_means;
      step.add(part);
    }
    count += part.count;
    told = told && part.sum_B.defined() && part.count_B.defined() && part.sum_B.size(0) == B;
    if (!told) return;
    const auto append = [](std::vector<double>& to, const Tensor& x_B) {
      const Tensor x = x_B.contiguous();
      to.insert(to.end(), x.data_ptr<double>(), x.data_ptr<double>() + x.numel());
    };
    append(sums, part.sum_B);
    append(counts, part.count_B);
  }
};

// Of a sum of ratios of sums over sequences, which are the independent draws: each one's deviation
// from the means, by the delta method (Cochran, Sampling Techniques, 1977, 2.11), of those that
// have a target. They do not depend on how the sequences were put into batches. None: not known.
std::vector<double> deviations_of(const std::vector<PartSums>& parts) {
  std::vector<double> deviation, seen;
  for (const PartSums& part : parts) {
    if (!part.told || (!deviation.empty() && deviation.size() != part.sums.size())) return {};
    deviation.resize(part.sums.size());
    seen.resize(part.sums.size());
    for (size_t b = 0; b < part.sums.size(); ++b) {
      deviation[b] += (part.sums[b] - part.mean() * part.counts[b]) / part.count;
      seen[b] += part.counts[b];
    }
  }
  std::vector<double> out;
  for (size_t b = 0; b < deviation.size(); ++b)
    if (seen[b] > 0) out.push_back(deviation[b]);
  return out;
}

double error_of(const std::vector<double>& deviations) {
  double squares = 0;
  for (const double d : deviations) squares += d * d;
  const auto n = static_cast<double>(deviations.size());
  return n > 1 ? std::sqrt(squares * n / (n - 1)) : std::numeric_limits<double>::quiet_NaN();
}

// The words of every answer: what was said at its targets, against the targets.
Metric words_of(const Tokenizer& tokenizer, const TokenBatch& tokens, const Tensor& answers_BT,
                const Tensor& predictions_BT) {
  const Tensor marks = answers_BT.to(at::kCPU).contiguous();
  const Tensor said = predictions_BT.to(at::kCPU).contiguous();
  const Column* segments = tokens.find("segment");
  WordScore all;
  std::vector<uint32_t> truth, predicted;
  const auto finish = [&] {
    if (!truth.empty()) all += score_words(tokenizer, predicted, truth);
    truth.clear(), predicted.clear();
  };
  for (int64_t b = 0; b < tokens.B; ++b, finish())
    for (int64_t t = 0; t < tokens.T; ++t) {
      const auto i = static_cast<size_t>(b * tokens.T + t);
      if (segments != nullptr && t > 0) {
        const WholeNumbers& of = std::get<WholeNumbers>(segments->values);
        if (of[i] != of[i - 1]) finish();  // the next of several samples in a row
      }
      if (marks.data_ptr<int64_t>()[i] == 0 || tokens.targets[i] < 0) continue;
      truth.push_back(static_cast<uint32_t>(tokens.targets[i]));
      // Padding of the table and shift tokens have no text.
      const int64_t id = said.data_ptr<int64_t>()[i];
      if (id < tokenizer.vocab_size()) predicted.push_back(static_cast<uint32_t>(id));
    }
  return {static_cast<double>(all.matches), static_cast<double>(all.truth_words)};
}

}  // namespace

std::map<std::string, double> Evaluation::numbers() const {
  std::map<std::string, double> all = metrics;
  all["loss"] = loss;
  all["standard_error"] = standard_error;
  if (objective) all["objective"] = *objective;
  return all;
}

double Evaluation::value(const std::string& name) const {
  const std::map<std::string, double> all = numbers();
  const auto found = all.find(name);
  if (found != all.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, value] : all) names.push_back(known);
  fail(fmt::format("the model tells no {}", in_quotes(name)), "it tells " + join(names, ", "));
}

std::string eval_series(const std::string& evaluation, const std::string& name) {
  return fmt::format("eval/{}/{}", evaluation, name);
}

double paired_error(const Evaluation& a, const Evaluation& b) {
  if (a.deviations.size() != b.deviations.size()) return std::numeric_limits<double>::quiet_NaN();
  std::vector<double> differences;
  for (size_t i = 0; i < a.deviations.size(); ++i)
    differences.push_back(a.deviations[i] - b.deviations[i]);
  return error_of(differences);
}

std::string error_text(const Evaluation& evaluation) {
  const double error = evaluation.standard_error;
  return std::isnan(error) ? "n/a" : fmt::format("{:.4f}", error);
}

Evaluation evaluate(const Model& model, const DataSet& source, int64_t batches, at::Device device,
                    Precision dtype, const EvaluateOptions& options) {
  const at::NoGradGuard no_grad;
  const Autocast autocast(dtype, device);
  Evaluation e;
  std::map<std::string, PartSums> losses;
  PartSums answer;
  bool optimises_its_loss = true;
  std::map<std::string, Metric> metrics;
  int64_t first_sequence = 0;  // of the batch, so that no split into batches changes a draw
  Cursor cursor = source.start();
  for (int64_t i = 0; i < batches; ++i) {
    if (options.stop && options.stop()) {
      e.complete = false;
      return e;
    }
    const Drawn drawn = source.next(cursor);
    cursor = drawn.after;
    const Batch batch = to_batch(drawn.batch, device);
    const auto answers = batch.labels.find("answer");
    const bool reads_words = options.tokenizer != nullptr && answers != batch.labels.end();
    Pass pass;
    pass.random = RandomField(0, 0, first_sequence);
    pass.policy = options.policy;
    const int64_t B = batch.tokens_BT.size(0);
    Policy own;
    if (options.policy_of) {
      own = options.policy_of(first_sequence, B);
      pass.policy = &own;
    }
    pass.predictions = reads_words;
    const ModelOutput output = model.forward(batch, pass);
    first_sequence += B;
    e.flops += output.flops;
    e.tokens += static_cast<double>(batch.tokens_BT.numel());
    double n = output.loss.count;  // or of the part that has most
    for (const LossPart& part : output.losses) {
      losses[part.name].add(part, B);
      if (!output.loss.sum.defined()) n = std::max(n, part.count);
    }
    answer.add(output.loss, B);
    optimises_its_loss = optimises_its_loss && output.optimises_its_loss();
    for (const auto& [name, metric] : output.metrics) metrics[name] += metric;
    if (reads_words && output.predictions_BT.defined())
      metrics["word_accuracy"] +=
          words_of(*options.tokenizer, drawn.batch, answers->second, output.predictions_BT);
    e.targets += n;
    if (options.progress) options.progress(i + 1);
  }
  if (e.targets == 0)
    fail("nothing that was to be evaluated has a target", "evaluate more batches of it");
  for (auto part = losses.begin(); part != losses.end();)
    part = part->second.count > 0 ? std::next(part) : losses.erase(part);
  std::vector<PartSums> parts;
  for (const auto& [name, part] : losses) {
    e.loss += part.mean();
    parts.push_back(part);
  }
  if (!optimises_its_loss) {
    e.objective = std::exchange(e.loss, answer.mean());
    parts = {std::move(answer)};
  }
  for (const auto& [name, metric] : metrics)
    if (metric.count > 0) e.metrics[name] = metric.sum / metric.count;
  e.deviations = deviations_of(parts);
  e.standard_error = error_of(e.deviations);
  return e;
}

}  // namespace fathom
