// What the loss parts of an optimiser step are divided by, however it is split into passes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fathom/model/model.h"

namespace fathom {

// Of all passes of a step, by the name of the part.
struct StepSums {
  std::map<std::string, double> counts;
  std::map<std::string, std::vector<Metric>> means;  // LossPart::means, in their order

  bool has(const LossPart& part) const;
  // A function of means of which there is none.
  bool is_of_nothing(const LossPart& part) const;
  void add(const LossPart& part);
  // Those of parts that are not there yet.
  void merge(const StepSums& others);
};

// A function of means at the means of the whole step, without gradient. Throws Error where there is
// none, for want of rows.
double value_of_means(const LossPart& part, const std::vector<Metric>& means);

// What a pass adds to the objective: its value without the graph, over all `passes` of the step,
// adds up to that of the step, and so does its gradient.
Tensor term_of_pass(const LossPart& part, const StepSums& step, size_t passes);

}  // namespace fathom
