// What the trainer, the evaluator and the sampler ask of a model. They know nothing else about it.
//
// B sequences, T positions, V vocabulary.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fathom/model/parameters.h"
#include "fathom/model/random_field.h"
#include "fathom/ops/tensor.h"

namespace fathom {

struct Batch {
  Tensor tokens_BT;   // int64
  Tensor targets_BT;  // int64, -1 = no target
};

// How a forward pass is made.
struct Pass {
  bool training = false;  // dropout acts
  RandomField random{0, 0, 0};
};

// One term of the objective: sum / count. The trainer divides by the count of the whole optimiser
// step, so that splitting a batch changes nothing.
struct LossPart {
  std::string name;
  Tensor sum;    // a scalar in the graph
  double count;  // what it sums over: valid targets, or whatever the term's mean runs over
};

struct ModelOutput {
  std::vector<LossPart> losses;           // the objective is the sum of their means
  std::map<std::string, double> metrics;  // means over the batch, for the log
};

class LanguageModel {
 public:
  explicit LanguageModel(ParameterSet parameters) : parameters_(std::move(parameters)) {}
  virtual ~LanguageModel() = default;

  virtual ModelOutput forward(const Batch& batch, const Pass& pass) const = 0;
  // Counts of the losses that are known before the forward pass, by name; a loss that is not in it
  // is averaged within its own micro-batch.
  virtual std::map<std::string, double> known_counts(const Batch& batch) const = 0;
  // Next-token scores at every position (B, T, V), no dropout.
  virtual Tensor logits(const Tensor& tokens_BT) const = 0;
  // What a checkpoint must have the least of to be the best one.
  virtual std::string best_metric() const { return "loss"; }

  ParameterSet& parameters() { return parameters_; }
  const ParameterSet& parameters() const { return parameters_; }

 protected:
  ParameterSet parameters_;
};

std::unique_ptr<LanguageModel> make_model(const ModelConfig& config, int64_t vocab_size,
                                          uint64_t seed, at::Device device,
                                          at::ScalarType dtype = at::kFloat);

}  // namespace fathom
