// Parameters by name, what an optimiser keeps of each, and its steps. The rules are in
// update_rules.h, their names and states in recipe/optimizer_rules.h.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fathom/model/walk/parameters.h"
#include "fathom/ops/tensor.h"
#include "fathom/train/recipe/optimizer_rules.h"
#include "fathom/train/recipe/run_config.h"
#include "fathom/train/update_rules.h"

namespace fathom {

class Optimizer {
 public:
  // Throws Error(kUsage) as parameter_settings() does.
  Optimizer(const ParameterSet& parameters, const OptimizerConfig& config);

  // Goes on with other settings and, after ParameterSet::freeze(), other frozen parameters of the
  // same set: what is thawed begins now, and under another rule all of them do, from the weights
  // that answer.
  void configure(const ParameterSet& parameters, const OptimizerConfig& config);

  // Keeps what belongs to a part of the parameters alone, the `rank`-th of `size` of about the same
  // number of numbers, and updates those: each of several optimisers of the same parameters another
  // part. To be called before the first step; whoever calls it brings the weights together again.
  // Not of a rule whose answering weights are not the parameters (require_shares).
  void shard(int rank, int size);
  // Of the i-th parameter; 0 where it was not called.
  int owner(size_t i) const { return owners_.empty() ? 0 : owners_[i]; }
  const Tensor& parameter(size_t i) const { return parameters_[i]; }

  const OptimizerRule& rule() const { return *rule_; }

  // Before the passes of a step, counted in its stage: parameters that are frozen until a later one
  // ask for no gradient.
  void begin_step(int64_t step);
  // An update from the gradients times `gradient_scale`. A parameter without one stays as it is.
  void step(double learning_rate, double gradient_scale = 1);

  struct State {
    std::string name;                // of the parameter
    std::vector<StateTensor> about;  // each of the tensors
    std::vector<Tensor> tensors;     // of one frozen or kept elsewhere zeros that take no memory
    bool frozen = false;             // for good
    bool elsewhere = false;          // another rank keeps it
    int64_t begun = 0;               // updates that the others had made when it began
    const Tensor& at(const std::string& tensor) const;  // Error if there is none
  };
  const std::vector<State>& state() const { return state_; }
  // Updates made so far.
  int64_t steps() const { return steps_; }
  // By parameter, where it is not 0: State::begun, and of a frozen one the updates made so far.
  std::map<std::string, int64_t> begun() const;
  void set_steps(int64_t steps, const std::map<std::string, int64_t>& begun);
  // As if no update had been made; the weights stay those that answer.
  void reset();

  // Whether the parameters are those that answer, not those where gradients are taken; to and fro
  // they keep their bits. Most rules know no difference. Returns how it was. Prefer Answering.
  bool let_answer(bool answers);

 private:
  struct Group {
    double rate = 1, weight_decay = 0;
    int64_t frozen_until = 0;
  };
  void settle(const ParameterSet& parameters);
  bool has_begun(const State& state) const { return !state.frozen && steps_ > state.begun; }

  OptimizerConfig config_;
  const OptimizerRule* rule_;
  UpdateRule update_;
  std::vector<Tensor> parameters_;
  std::vector<Group> groups_;
  std::vector<State> state_;
  int rank_ = 0, size_ = 1;
  std::vector<int> owners_;  // ranks, by parameter; empty: all is kept here
  int64_t steps_ = 0;
  bool answers_ = false;
};

// While it lives, the parameters are those that answer: for evaluations and what is saved.
class Answering {
 public:
  explicit Answering(Optimizer& optimizer)
      : optimizer_(optimizer), before_(optimizer.let_answer(true)) {}
  ~Answering() { optimizer_.let_answer(before_); }
  Answering(const Answering&) = delete;
  Answering& operator=(const Answering&) = delete;

 private:
  Optimizer& optimizer_;
  bool before_;
};

}  // namespace fathom
