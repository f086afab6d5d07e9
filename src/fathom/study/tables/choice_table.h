// Which ending a model takes of those that questions offer. Torch-free: the numbers, and the report
// of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fathom/report/report.h"

namespace fathom {

// A question's endings, in their order.
struct ChoiceScore {
  size_t label = 0;             // the right one
  std::vector<double> ln_p;     // of all the ending's tokens together, behind the context
  std::vector<int64_t> tokens;  // how many those are
  int64_t cut = 0;              // tokens of the context that did not fit

  double mean(size_t ending) const { return ln_p[ending] / static_cast<double>(tokens[ending]); }
  size_t chosen() const;         // the largest mean, HellaSwag's rule; of equal ones the first
  size_t chosen_by_sum() const;  // the largest ln_p
};

// How often something was so, and where its probability lies with 95 % (Wilson 1927).
struct ObservedShare {
  double value = 0, low = 0, high = 1;
};
ObservedShare observed_share(size_t count, size_t n);  // n is at least 1

struct ChoiceTable {
  std::string run, file;  // and where the questions come from
  std::vector<ChoiceScore> questions;
};

// For people: accuracy by both rules beside what guessing has, and what was cut. For programs every
// score of every question as well, for paired comparisons of two models.
report::Report choice_report(const ChoiceTable& table);

}  // namespace fathom
