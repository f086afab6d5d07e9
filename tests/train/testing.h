// A small corpus, a small run, and what it reported.
#pragma once

#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "data/data_testing.h"
#include "fathom/data/prepare.h"
#include "fathom/data/shard_windows.h"
#include "fathom/model/device.h"
#include "fathom/train/trainer.h"
#include "model/testing.h"

namespace fathom::testing {

// 2 layers, 16 wide, 8 tokens, 2 sequences a step, 6 steps, an evaluation every 3.
inline RunConfig tiny_run(const ModelConfig& model = tied_config()) {
  RunConfig config;
  config.preset = "tiny";
  config.model = model;
  config.data.dataset = "tiny";
  config.data.batch_size = 2;
  config.optimizer.learning_rate = 1e-2;
  config.schedule.warmup_iters = 0;
  config.training.max_iters = 6;
  config.training.eval_interval = 3;
  config.training.eval_iters = 2;
  config.training.device = "cpu";
  return config;
}

// The reports of a run, and the events that collect them.
struct History {
  std::vector<StepReport> steps;
  std::vector<EvalReport> evaluations;

  TrainerEvents events() {
    return {[this](const StepReport& r) { steps.push_back(r); },
            [this](const EvalReport& r) { evaluations.push_back(r); }};
  }
  std::vector<int64_t> evaluated_at() const {
    std::vector<int64_t> at;
    for (const EvalReport& r : evaluations) at.push_back(r.step);
    return at;
  }
};

// Letters without an order, some more frequent than others: a model learns the frequencies, which
// hold for the val split too, and then the text by heart, which does not.
inline std::string letters(size_t length, unsigned seed = 1) {
  std::mt19937 generator(seed);
  std::discrete_distribution<int> letter({30, 15, 10, 5, 3, 2, 1, 1});
  std::string text;
  while (text.size() < length) text += static_cast<char>('a' + letter(generator));
  return text;
}

class TrainTest : public DataTest {
 protected:
  // One thread: two would wait for one another on tensors of this size.
  TrainTest() { set_threads(1); }

  Corpus corpus(const std::string& text = letters(400), const std::string& name = "tiny") {
    spill(temp_ / (name + ".txt"), text);
    PrepareOptions options;
    options.what = temp_ / (name + ".txt");
    options.name = name;
    prepare(options);
    return Corpus::open(name);
  }

  Trainer trainer(const RunConfig& config, const std::string& folder = "") {
    if (!corpus_) corpus_ = corpus();
    if (!folder.empty()) std::filesystem::create_directories(folder + "/checkpoints");
    return {config, *corpus_, settled_vocab_size(config, corpus_->vocab_size()), folder};
  }

  // Trains to the end and returns what it reported. `folder` is below the test's own.
  History run(const RunConfig& config, const std::string& folder = "") {
    History history;
    trainer(config, folder.empty() ? "" : temp_ / folder).run(history.events());
    return history;
  }

  std::string checkpoint(const std::string& run, const std::string& name) const {
    return temp_ / (run + "/checkpoints/" + name);
  }

  std::optional<Corpus> corpus_;
};

using Snapshot = std::map<std::string, std::vector<double>>;

inline Snapshot weights(const Model& model) {
  Snapshot snapshot;
  for (const Parameter& p : model.parameters().all()) snapshot[p.spec.name] = numbers(p.tensor);
  return snapshot;
}

// The gradient of one step, all parameters in a row, and what the step reported.
struct StepResult {
  std::vector<double> gradient;
  StepReport report;
};

inline StepResult first_step(Trainer trainer) {
  StepResult result;
  result.report = trainer.train_step().value();
  for (const Parameter& p : trainer.model().parameters().all()) {
    // A layer that no loss reaches has none.
    const Tensor g = p.tensor.grad().defined() ? p.tensor.grad() : at::zeros_like(p.tensor);
    for (const double value : numbers(g)) result.gradient.push_back(value);
  }
  return result;
}

// |actual - expected| / |expected|
inline double relative_distance(const std::vector<double>& actual,
                                const std::vector<double>& expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double difference = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(actual[i] - expected[i], 2);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(difference / norm);
}

}  // namespace fathom::testing
