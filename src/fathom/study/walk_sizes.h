// How large things are in a model's walk: of the carry and of whatever a block makes, on some
// batches, with the gradient that comes back.
//
// R rows, C channels.
#pragma once

#include <memory>

#include "fathom/model/depth_model.h"
#include "fathom/study/sizes/size_facts.h"

namespace fathom {

struct SizeOptions {
  double eps = 1e-3;          // SizeFacts::eps
  int64_t ranked_rows = 256;  // of the first batch, evenly apart, whose singular values are taken
  size_t bins = 20;           // of histograms, whose ends are the first batch's
  bool gradients = true;
};

// Sums over batches. Walks in evaluation, by the model's own policy but for halting: every row is
// there at every step, as often as its loops are meant to run. Padded rows do not count.
class WalkSizes {
 public:
  // The model must outlive it. Throws Error for one that reads nothing out.
  WalkSizes(const DepthModel& model, const SizeOptions& options);
  ~WalkSizes();
  WalkSizes(const WalkSizes&) = delete;
  WalkSizes& operator=(const WalkSizes&) = delete;

  // Throws Error for more tokens than there are positions. A batch without targets has no losses
  // and no gradients.
  void add(const Batch& batch);
  // All but run and source, which the caller knows.
  SizeFacts facts() const;

 private:
  struct Sums;
  const DepthModel& model_;
  SizeOptions options_;
  std::unique_ptr<Sums> sums_;
};

}  // namespace fathom
