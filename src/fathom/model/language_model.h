// What the trainer, the evaluator and the sampler ask of a model. They know nothing else about it.
//
// B sequences, T positions, V vocabulary.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fathom/model/attention_cache.h"
#include "fathom/model/parameters.h"
#include "fathom/model/random_field.h"
#include "fathom/model/rows.h"
#include "fathom/ops/tensor.h"

namespace fathom {

// How a forward pass is made.
struct Pass {
  bool training = false;  // dropout acts
  RandomField random{0, 0, 0};
  bool recompute_blocks = false;  // less memory, more time; the same values
};

// One term of the objective: sum / count. The trainer divides by the count of the whole optimiser
// step, so that splitting a batch changes nothing.
struct LossPart {
  std::string name;
  Tensor sum;    // a scalar in the graph
  double count;  // what it sums over: valid targets, or whatever the term's mean runs over; 0: the
                 // part is left out
  // Without a graph also what each sequence has of both, (B), float64, for the error of the mean;
  // undefined: not told.
  Tensor sum_B = {}, count_B = {};
};

// A mean over the batch: sum / count. A list is several metrics "name/0", "name/1", ...
struct Metric {
  double sum = 0, count = 0;

  Metric& operator+=(const Metric& other) {
    sum += other.sum;
    count += other.count;
    return *this;
  }
};

struct ModelOutput {
  std::vector<LossPart> losses;           // the objective is the sum of their means
  std::map<std::string, Metric> metrics;  // "accuracy" is always among them
};

struct NextToken {
  Tensor scores_BV;      // of the token after the last one; zeros for a sequence without rows
  Tensor layer_B;        // number of the layer that answered, int64, on the processor; -1: no rows
  int64_t computed = 0;  // blocks that rows went through,
  int64_t dense = 0;     // and that they would have gone through if none had left
};

class LanguageModel {
 public:
  explicit LanguageModel(ParameterSet parameters) : parameters_(std::move(parameters)) {}
  virtual ~LanguageModel() = default;

  virtual ModelOutput forward(const Batch& batch, const Pass& pass) const = 0;
  // Counts of the losses that are known before the forward pass, by name. Where a step has several
  // passes, a loss that is not in it costs a second forward pass of each, to be counted first.
  virtual std::map<std::string, double> known_counts(const Batch& batch) const = 0;
  // The last layer's next-token scores at every position (B, T, V), no dropout.
  virtual Tensor logits(const Tensor& tokens_BT) const = 0;
  // `cache`: what the sequences had before `rows`, to be seen and added to; null: nothing.
  virtual NextToken next_token(const Rows& rows, Exit exit, AttentionCache* cache) const = 0;
  NextToken next_token(const Tensor& tokens_BT, Exit exit) const;
  // What a checkpoint must have the least of to be the best one: "loss" is the objective.
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
