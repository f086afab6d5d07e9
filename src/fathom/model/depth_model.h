// A model that is a depth walk: a plan, its weights, and what it is trained on.
#pragma once

#include "fathom/model/exit_metrics.h"
#include "fathom/model/models.h"
#include "fathom/model/next_token_model.h"
#include "fathom/model/spec/flops_counter.h"

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
  NextToken next_token(const Rows& rows, const Asked& asked) const override;

  const DepthWalk& walk() const { return walk_; }
  // One walk's steps, by the model's own policy; in training its loops may run otherwise.
  const DepthProgram& program() const { return program_; }
  // Of a pass over so many sequences: by its policy, and with the counts that it draws.
  DepthProgram program_of(const Pass& pass, int64_t sequences) const;

 protected:
  // For models that are trained on something else: what is walked in place of the trainer's batch.
  virtual Batch prepare(const Batch& batch, const Pass& /*pass*/) const { return batch; }
  // For models that are trained on something more. `walked.trace` is the walk of `walked.batch` (as
  // prepared); its rows are the batch's, (B * T, C). `walked.kept` has what the heads were given
  // that were read, and what watch() asked for. In training the trace has the readings that the
  // objective asks for (readout_uses), and the last one. (Without a graph, and where watch() asks
  // for nothing, rows that have left a loop are not computed: within the loop the heads were given
  // the others.)
  virtual void add_losses(const WalkedBatch& /*walked*/, const Pass& /*pass*/,
                          ModelOutput& /*output*/) const {}
  // Names of what add_losses() reads in `walked.kept` besides "head" (walk/observer.h). Throws
  // Error in forward() if the walk shows none of a name.
  virtual std::vector<std::string> watch() const { return {}; }
  // What they count, where it is known before the walk, by name. `batch` as prepared.
  virtual void add_counts(const Batch& /*batch*/, std::map<std::string, double>& /*counts*/) const {
  }

 private:
  void choose_answers(const Rows& rows, const Asked& asked, const DepthProgram& program,
                      const Trace& trace, const Kept& kept, NextToken& next) const;
  void mix_answers(const Rows& rows, const Asked& asked, const DepthProgram& program,
                   const Trace& trace, const Kept& kept, NextToken& next) const;
  bool may_skip(const DepthProgram& program, const WalkOptions& options, const Kept& kept) const;
  bool draws_in(const Pass& pass) const;
  double flops(const DepthProgram& program, const Trace& trace, bool gradients) const;

  DepthWalk walk_;
  DepthProgram program_;
  std::vector<std::string> groups_;  // loop_group_keys() of the plan
  SupervisionTable supervision_;
  int64_t vocab_size_;
  FlopsCounter counter_;  // of program_
  // Of an experiment's matrices, as if each were used once in a row's whole walk.
  double own_flops_ = 0;
};

}  // namespace fathom
