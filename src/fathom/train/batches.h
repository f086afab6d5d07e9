// From token lists to tensors, and the mean loss over some of them.
#pragma once

#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fathom/data/data_set.h"
#include "fathom/data/tokenizer.h"
#include "fathom/model/model.h"
#include "fathom/model/spec/policy.h"
#include "fathom/parallel/ranks.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

Batch to_batch(const TokenBatch& tokens, at::Device device);

// Runs the matrix products in a narrower type while it lives; parameters stay float32.
class Autocast {
 public:
  Autocast(Precision dtype, at::Device device);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool on_, cuda_;
};

struct Evaluation {
  double loss = 0;                       // of the answer: ModelOutput::loss; in nats per target
  std::optional<double> objective = {};  // unset: it is the loss
  // Of the loss, from the spread between sequences; NaN where that is not known: of a single
  // sequence, and where a loss does not tell what each of them adds.
  double standard_error = std::numeric_limits<double>::quiet_NaN();
  double targets = 0;
  std::map<std::string, double> metrics;  // the model's own, over all targets
  bool complete = true;                   // false: stopped before the last batch
  // By how much each sequence that has a target moves the loss: what the standard error is made of;
  // empty where that is not known.
  std::vector<double> deviations = {};
  double flops = 0, tokens = 0;  // computed, and positions of the batches; flops 0: not told

  // All of these by the names of their series: loss, standard_error, objective where it is another
  // number, and the metrics.
  std::map<std::string, double> numbers() const;
  // One of them. Throws Error if there is none of that name.
  double value(const std::string& name) const;
  double accuracy() const { return value("accuracy"); }
};

// One of a run's list of evaluations.
struct NamedEvaluation {
  std::string name;
  Evaluation evaluation;
};

// What the run store, TensorBoard, state.json and `best` call a number of an evaluation:
// "eval/val/loss".
std::string eval_series(const std::string& evaluation, const std::string& name);

// The standard error of the difference of two losses of the same sequences; NaN where it is not
// known.
double paired_error(const Evaluation& a, const Evaluation& b);

// "0.0123", "n/a" where the standard error is not known.
std::string error_text(const Evaluation& evaluation);

struct EvaluateOptions {
  std::function<bool()> stop = {};                  // asked before each batch
  std::function<void(int64_t done)> progress = {};  // after each batch
  const Policy* policy = nullptr;                   // as in Pass
  // Of data whose answers are marked (RowOptions::mark_answers): they are compared word by word
  // with what the model says where the answer so far is given, "word_accuracy". Null: they are not.
  const Tokenizer* tokenizer = nullptr;
  // Which share the batches, each asking for the same evaluation, and have the same numbers of it,
  // whatever their number is. Null: there is one process.
  Ranks* ranks = nullptr;
};

// Means over the first `batches` batches of `source`, in evaluation mode and without a graph.
// Throws Error where none of them has a target.
Evaluation evaluate(const Model& model, const DataSet& source, int64_t batches, at::Device device,
                    Precision dtype, const EvaluateOptions& options = {});

}  // namespace fathom
