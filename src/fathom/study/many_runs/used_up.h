// What a run had used up by its steps, from the counters that it stored: what its numbers are drawn
// and compared over. Steps may differ in what they use (stages, rows of a file), so nothing is
// computed from the step's number.
#pragma once

#include <string>
#include <vector>

#include "fathom/study/compare/curve.h"
#include "fathom/track/run_store.h"

namespace fathom {

class UsedUp {
 public:
  // By the run's series `train/<what>`: tokens, flops or seconds.
  UsedUp(const RunStore& store, const std::string& run, const std::string& what);

  bool is_known() const { return !curve_.x.empty() || per_step_ > 0; }
  // For a run of before anything was counted, when every step was alike.
  void assume_alike(double per_step) { per_step_ = per_step; }

  // Along straight lines between the stored values, from 0 at step 0. NaN: beyond what is known.
  double at(double step) const;
  // The same at each of the steps. Empty: of one of them it is not known.
  std::vector<double> at(const std::vector<double>& steps) const;

 private:
  Curve curve_;
  double per_step_ = 0;  // 0: not assumed
};

}  // namespace fathom
