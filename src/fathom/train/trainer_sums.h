// What the passes of one step sum up to, for the files of the trainer.
#pragma once

#include <map>
#include <string>

#include "fathom/train/trainer.h"

namespace fathom {

struct Trainer::Accumulated {
  double objective = 0, gradient_norm = 0;
  size_t passes = 0;  // forward and backward passes made
  Metric answer;      // ModelOutput::loss
  double flops = 0;
  bool optimises_its_loss = true;
  std::map<std::string, Metric> metrics;
  std::map<std::string, double> parts;  // of the objective
  // Counts of its losses: known beforehand, and those of its passes.
  std::map<std::string, double> known, had;
};

}  // namespace fathom
