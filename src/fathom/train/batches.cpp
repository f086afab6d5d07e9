#include "fathom/train/batches.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
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

// What one batch has of one loss.
struct PartOfBatch {
  double sum = 0, count = 0;
  std::vector<Metric> means;         // of a function of means
  std::vector<double> sums, counts;  // by sequence
  bool told = false;                 // of every sequence

  PartOfBatch() = default;
  PartOfBatch(const LossPart& part, int64_t B) : count(part.count) {
    if (count > 0) sum = part.sum.item<double>();
    for (const LossPart& m : part.means) means.push_back({m.sum.item<double>(), m.count});
    told = part.sum_B.defined() && part.count_B.defined() && part.sum_B.size(0) == B;
    if (!told) return;
    const auto numbers = [](const Tensor& x_B) {
      const Tensor x = x_B.contiguous();
      return std::vector<double>(x.data_ptr<double>(), x.data_ptr<double>() + x.numel());
    };
    sums = numbers(part.sum_B);
    counts = numbers(part.count_B);
  }
};

void to_json(nlohmann::json& json, const PartOfBatch& p) {
  json = {p.sum, p.count, nlohmann::json::array(), p.sums, p.counts, p.told};
  for (const Metric& m : p.means) json[2].push_back({m.sum, m.count});
}

void from_json(const nlohmann::json& json, PartOfBatch& p) {
  json.at(0).get_to(p.sum);
  json.at(1).get_to(p.count);
  for (const nlohmann::json& m : json.at(2))
    p.means.push_back({m.at(0).get<double>(), m.at(1).get<double>()});
  json.at(3).get_to(p.sums);
  json.at(4).get_to(p.counts);
  json.at(5).get_to(p.told);
}

// What one batch adds to an evaluation.
struct BatchNumbers {
  int64_t batch = 0;  // which of them
  double flops = 0, tokens = 0, targets = 0;
  bool optimises_its_loss = true;
  std::map<std::string, PartOfBatch> losses;
  PartOfBatch answer;
  std::map<std::string, Metric> metrics;
};

void to_json(nlohmann::json& json, const BatchNumbers& n) {
  json = {n.batch, n.flops, n.tokens, n.targets, n.optimises_its_loss, n.losses, n.answer};
  nlohmann::json& metrics = json.emplace_back(nlohmann::json::object());
  for (const auto& [name, m] : n.metrics) metrics[name] = {m.sum, m.count};
}

void from_json(const nlohmann::json& json, BatchNumbers& n) {
  json.at(0).get_to(n.batch);
  json.at(1).get_to(n.flops);
  json.at(2).get_to(n.tokens);
  json.at(3).get_to(n.targets);
  json.at(4).get_to(n.optimises_its_loss);
  json.at(5).get_to(n.losses);
  json.at(6).get_to(n.answer);
  for (const auto& [name, m] : json.at(7).items())
    n.metrics[name] = {m.at(0).get<double>(), m.at(1).get<double>()};
}

// Of all ranks, in the order of the batches: sums have the same bits however these are shared.
// Nothing: one of them was stopped.
std::optional<std::vector<BatchNumbers>> gathered(Ranks& ranks,
                                                  const std::vector<BatchNumbers>& own,
                                                  bool complete) {
  const std::vector<uint8_t> bytes = nlohmann::json::to_cbor({{"c", complete}, {"n", own}});
  std::vector<BatchNumbers> all;
  for (const std::string& theirs : ranks.gather(std::string(bytes.begin(), bytes.end()))) {
    const nlohmann::json json = nlohmann::json::from_cbor(theirs);
    complete = complete && json.at("c").get<bool>();
    for (const nlohmann::json& numbers : json.at("n")) all.push_back(numbers.get<BatchNumbers>());
  }
  if (!complete) return std::nullopt;
  std::sort(all.begin(), all.end(),
            [](const BatchNumbers& a, const BatchNumbers& b) { return a.batch < b.batch; });
  return all;
}

// Sums of one loss over all that was evaluated.
struct PartSums {
  double sum = 0, count = 0;
  std::vector<double> sums, counts;  // by sequence
  bool told = true;                  // of every sequence
  LossPart of_means = {{}, {}, 0};   // a function of means; without them
  std::vector<Metric> means;         // its

  double mean() const { return of_means.of_means ? value_of_means(of_means, means) : sum / count; }
  void add(const PartOfBatch& part) {
    if (part.count > 0) sum += part.sum;
    means.resize(std::max(means.size(), part.means.size()));
    for (size_t k = 0; k < part.means.size(); ++k) means[k] += part.means[k];
    count += part.count;
    told = told && part.told;
    if (!told) return;
    sums.insert(sums.end(), part.sums.begin(), part.sums.end());
    counts.insert(counts.end(), part.counts.begin(), part.counts.end());
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

namespace {

using MeanFunctions = std::map<std::string, LossPart>;  // losses of means, without these

BatchNumbers numbers_of(const Model& model, const Drawn& drawn, int64_t first_sequence,
                        at::Device device, const EvaluateOptions& options,
                        MeanFunctions& functions) {
  const Batch batch = to_batch(drawn.batch, device);
  const auto answers = batch.labels.find("answer");
  const bool reads_words = options.tokenizer != nullptr && answers != batch.labels.end();
  Pass pass;
  pass.random = RandomField(0, 0, first_sequence);
  pass.policy = options.policy;
  pass.predictions = reads_words;
  const ModelOutput output = model.forward(batch, pass);
  BatchNumbers n;
  n.flops = output.flops;
  n.tokens = static_cast<double>(batch.tokens_BT.numel());
  n.targets = output.loss.count;  // or of the part that has most
  for (const LossPart& part : output.losses) {
    n.losses.emplace(part.name, PartOfBatch(part, drawn.batch.B));
    if (part.of_means) {
      LossPart& function = functions[part.name];
      function.name = part.name;
      function.of_means = part.of_means;
    }
    if (!output.loss.sum.defined()) n.targets = std::max(n.targets, part.count);
  }
  n.answer = PartOfBatch(output.loss, drawn.batch.B);
  n.optimises_its_loss = output.optimises_its_loss();
  n.metrics = output.metrics;
  if (reads_words && output.predictions_BT.defined())
    n.metrics["word_accuracy"] +=
        words_of(*options.tokenizer, drawn.batch, answers->second, output.predictions_BT);
  return n;
}

Evaluation evaluation_of(const std::vector<BatchNumbers>& numbers, const MeanFunctions& functions) {
  Evaluation e;
  std::map<std::string, PartSums> losses;
  PartSums answer;
  bool optimises_its_loss = true;
  std::map<std::string, Metric> metrics;
  for (const BatchNumbers& n : numbers) {
    e.flops += n.flops;
    e.tokens += n.tokens;
    e.targets += n.targets;
    for (const auto& [name, part] : n.losses) {
      losses[name].add(part);
      const auto function = functions.find(name);
      if (function != functions.end()) losses[name].of_means = function->second;
    }
    answer.add(n.answer);
    optimises_its_loss = optimises_its_loss && n.optimises_its_loss;
    for (const auto& [name, metric] : n.metrics) metrics[name] += metric;
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

}  // namespace

Evaluation evaluate(const Model& model, const DataSet& source, int64_t batches, at::Device device,
                    Precision dtype, const EvaluateOptions& options) {
  const at::NoGradGuard no_grad;
  const Autocast autocast(dtype, device);
  Ranks* const ranks =
      options.ranks != nullptr && !options.ranks->is_alone() ? options.ranks : nullptr;
  std::vector<BatchNumbers> numbers;
  MeanFunctions functions;
  bool complete = true;
  int64_t first_sequence = 0;  // of the batch, so that no split into batches changes a draw
  Cursor cursor = source.start();
  for (int64_t i = 0; i < batches; ++i) {
    complete = !(options.stop && options.stop());
    if (!complete) break;
    const Drawn drawn = source.next(cursor);
    cursor = drawn.after;
    const int64_t first = std::exchange(first_sequence, first_sequence + drawn.batch.B);
    // A rank for which there is none takes the first one too, for what there is to know of losses.
    const bool is_own = ranks == nullptr || i % ranks->size() == ranks->rank();
    if (!is_own && !(i == 0 && ranks->rank() >= batches)) continue;
    BatchNumbers n = numbers_of(model, drawn, first, device, options, functions);
    n.batch = i;
    if (is_own) numbers.push_back(std::move(n));
    if (options.progress) options.progress(i + 1);
  }
  if (ranks != nullptr) {
    auto all = gathered(*ranks, numbers, complete);
    complete = all.has_value();
    if (all) numbers = std::move(*all);
  }
  if (complete) return evaluation_of(numbers, functions);
  Evaluation stopped;
  stopped.complete = false;
  return stopped;
}

}  // namespace fathom
