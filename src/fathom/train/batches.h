// From token lists to tensors, and the mean loss over some of them.
#pragma once

#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "fathom/data/source.h"
#include "fathom/model/language_model.h"
#include "fathom/train/plan/run_config.h"

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
  double loss = 0;  // the objective, in nats per target
  // Of the loss, from the spread between sequences; NaN where that is not known: of a single
  // sequence, and where a loss does not tell what each of them adds.
  double standard_error = std::numeric_limits<double>::quiet_NaN();
  double targets = 0;
  std::map<std::string, double> metrics;  // the model's own, over all targets
  bool complete = true;                   // false: stopped before the last batch

  double accuracy() const { return metrics.at("accuracy"); }
  // The value that the name of a model's best metric means.
  double value(const std::string& name) const { return name == "loss" ? loss : metrics.at(name); }
};

// "0.0123", "n/a" where the standard error is not known.
std::string error_text(const Evaluation& evaluation);

// Means over the first `batches` batches of `source`, in evaluation mode and without a graph.
// `stop` is asked before each batch.
Evaluation evaluate(const LanguageModel& model, const BatchSource& source, int64_t batches,
                    at::Device device, Precision dtype, const std::function<bool()>& stop = {});

}  // namespace fathom
