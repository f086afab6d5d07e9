// A language model that is a depth walk: a plan, its weights, and what it is trained on.
#pragma once

#include "fathom/model/exit_metrics.h"
#include "fathom/model/supervision.h"

namespace fathom {

class DepthModel : public LanguageModel {
 public:
  // `backbone` gives what all layers have in common. Throws Error(kUsage) for a plan that does not
  // hold together.
  DepthModel(const DepthPlan& plan, const BackboneConfig& backbone, SupervisionTable supervision,
             ParameterSet parameters);

  ModelOutput forward(const Batch& batch, const Pass& pass) const override;
  std::map<std::string, double> known_counts(const Batch& batch) const override;
  Tensor logits(const Tensor& tokens_BT) const override;
  using LanguageModel::next_token;
  NextToken next_token(const Rows& rows, Exit exit, AttentionCache* cache) const override;

  const DepthWalk& walk() const { return walk_; }
  // One walk's steps.
  DepthProgram program() const { return unroll(walk_.plan()); }

 private:
  DepthWalk walk_;
  SupervisionTable supervision_;
};

}  // namespace fathom
