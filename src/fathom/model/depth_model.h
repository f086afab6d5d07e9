// A model that is a depth walk: a plan, its weights, and what it is trained on.
#pragma once

#include "fathom/model/exit_metrics.h"
#include "fathom/model/models.h"
#include "fathom/model/next_token_model.h"

namespace fathom {

class DepthModel : public NextTokenModel {
 public:
  // Throws Error(kUsage) for a plan that does not hold together.
  explicit DepthModel(ModelParts parts);

  ModelOutput forward(const Batch& batch, const Pass& pass) const override;
  std::map<std::string, double> known_counts(const Batch& batch, const Pass& pass) const final;
  std::string answers() const override;
  const NextTokenModel* next_token_model() const override;
  Tensor logits(const Tensor& tokens_BT) const override;
  using NextTokenModel::next_token;
  NextToken next_token(const Rows& rows, Exit exit, WalkCache* cache) const override;

  const DepthWalk& walk() const { return walk_; }
  // One walk's steps.
  const DepthProgram& program() const { return program_; }

 protected:
  // For models that are trained on something else: what is walked in place of the trainer's batch.
  virtual Batch prepare(const Batch& batch, const Pass& /*pass*/) const { return batch; }
  // For models that are trained on something more. `trace` is the walk of `batch` (as prepared),
  // and every readout of it has kept its state n_RC; its rows are the batch's, (B * T, C).
  virtual void add_losses(const Batch& /*batch*/, const Pass& /*pass*/, const Trace& /*trace*/,
                          ModelOutput& /*output*/) const {}
  // What they count, where it is known before the walk, by name. `batch` as prepared.
  virtual void add_counts(const Batch& /*batch*/, std::map<std::string, double>& /*counts*/) const {
  }

 private:
  DepthWalk walk_;
  DepthProgram program_;
  SupervisionTable supervision_;
};

}  // namespace fathom
