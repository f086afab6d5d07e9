// What a trainer asks of a model: losses and metrics of a batch, and its parameters. Trainer,
// checkpoints and evaluations know nothing else about it: neither what it is made of nor whether it
// predicts tokens. Who can be asked for the next token is a NextTokenModel.
//
// B sequences, T positions.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fathom/model/walk/batch.h"
#include "fathom/model/walk/parameters.h"
#include "fathom/model/walk/random_field.h"
#include "fathom/ops/tensor.h"

namespace fathom {

class NextTokenModel;
struct ModelConfig;
struct Policy;

// How a forward pass is made.
struct Pass {
  bool training = false;  // dropout acts
  RandomField random{0, 0, 0};
  bool recompute_blocks = false;   // less memory, more time; the same values
  const Policy* policy = nullptr;  // of models that are walks: in place of their own
  bool predictions = false;        // ModelOutput::predictions_BT is asked for
};

// One term of the objective: sum / count. The trainer divides by the count of the whole optimiser
// step, so that splitting a batch changes nothing.
//
// Or a function of means: then `sum` is what it is of this batch's own, `count` 1 (0: none of its
// rows is there), and the term is of_means(sum / count of each of `means` over the whole step). A
// mean over nothing is given as an undefined tensor.
struct LossPart {
  std::string name;
  Tensor sum;    // a scalar in the graph
  double count;  // what it sums over: valid targets, or whatever the term's mean runs over; 0: the
                 // part is left out
  // Without a graph also what each sequence has of both, (B), float64, for the error of the mean;
  // undefined: not told.
  Tensor sum_B = {}, count_B = {};
  std::vector<LossPart> means = {};
  std::function<Tensor(const std::vector<Tensor>&)> of_means = {};
};

// A mean over the batch: sum / count. A list is several metrics "name/0", "name/1", ...; its
// numbers need not begin at 0, nor follow on one another.
struct Metric {
  double sum = 0, count = 0;

  Metric& operator+=(const Metric& other) {
    sum += other.sum;
    count += other.count;
    return *this;
  }
};

struct ModelOutput {
  std::vector<LossPart> losses;  // the objective is the sum of their means
  // "loss" wherever a run's numbers are shown, kept and compared: how good the answer is. Where it
  // alone is optimised, the one part of `losses`; without a sum: the objective is it.
  LossPart loss = {"loss", {}, 0};
  std::map<std::string, Metric> metrics;  // whatever else the model tells; "accuracy" where it can
  // Multiplications and additions of what was really computed and, where there is a graph, of its
  // gradients; of judges, which walk once more, and of blocks that are computed again, nothing. 0:
  // not told.
  double flops = 0;

  // Called once after the backward pass of a training step, where there is one: metrics about
  // gradients, which join the others. Gradients are the pass's share of the step's; of tensors that
  // are no leaves they are there after retain_grad(). Null: nothing is told.
  std::function<std::map<std::string, Metric>()> after_backward = {};

  // What the model says at each position, ids; undefined: it was not asked, or says no tokens.
  Tensor predictions_BT = {};

  bool optimises_its_loss() const {
    return !loss.sum.defined() || (losses.size() == 1 && losses[0].sum.is_same(loss.sum));
  }
};

class Model {
 public:
  explicit Model(ParameterSet parameters) : parameters_(std::move(parameters)) {}
  virtual ~Model() = default;

  virtual ModelOutput forward(const Batch& batch, const Pass& pass) const = 0;
  // Counts of the losses that are known before forward(batch, pass), by name, as that will have
  // them. Where a step has several passes, a loss that is not in it costs a second forward pass of
  // each, to be counted first.
  virtual std::map<std::string, double> known_counts(const Batch& batch,
                                                     const Pass& pass) const = 0;
  // What a checkpoint must have the least of to be the best one: "loss", or a metric's name.
  virtual std::string best_metric() const { return "loss"; }

  // What it says, to complete "it answers ...".
  virtual std::string answers() const { return "something else than the next token"; }
  // Itself, if that is the next token of a text that grows; null: it cannot be asked for one.
  virtual const NextTokenModel* next_token_model() const { return nullptr; }

  ParameterSet& parameters() { return parameters_; }
  const ParameterSet& parameters() const { return parameters_; }

 protected:
  ParameterSet parameters_;
};

std::unique_ptr<Model> make_model(const ModelConfig& config, int64_t vocab_size, uint64_t seed,
                                  at::Device device, at::ScalarType dtype = at::kFloat);

}  // namespace fathom
