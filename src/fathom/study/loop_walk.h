// Walks of a looped model as its analyses want them: in double precision, nobody halts, and every
// loop runs as often as is asked for.
//
// T positions of one text, R rows, C channels, V vocabulary.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fathom/model/depth_model.h"
#include "fathom/model/spec/loop_counts.h"

namespace fathom {

// One text's walk.
struct LoopTrack {
  DepthProgram program;
  std::shared_ptr<const Rows> rows;
  std::vector<std::shared_ptr<const WalkState>> doors;  // of each step, before its injections
  std::vector<Tensor> after_RC;                         // the stream behind each step
};

class LoopWalk {
 public:
  // The model must outlive it. Throws Error(kUsage) for one without loops. `policy`: in place of
  // its own.
  explicit LoopWalk(const DepthModel& model);
  LoopWalk(const DepthModel& model, Policy policy);

  const DepthModel& model() const { return model_; }
  const std::vector<std::string>& groups() const { return groups_; }
  // Of `count` iterations each. Nobody halts.
  DepthProgram program(int64_t count) const;
  // `seed` of the noise. Throws Error for more tokens than there are positions.
  LoopTrack run(const DepthProgram& program, const std::vector<int64_t>& tokens,
                uint64_t seed = 0) const;
  // From the state's place to before step `last`; with a graph where there is one.
  void advance(const DepthProgram& program, WalkState& state, size_t last, uint64_t seed) const;
  // What the model would answer if these were its last states: ln p (R, V).
  Tensor ln_p(const Tensor& x_RC) const;

 private:
  WalkOptions options(uint64_t seed) const;

  const DepthModel& model_;
  Policy policy_;
  std::vector<std::string> groups_;
  std::shared_ptr<const Params> params_;  // in double precision, without gradient
};

}  // namespace fathom
