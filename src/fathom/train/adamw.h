// AdamW (Loshchilov and Hutter 2019) over a model's parameters by name.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fathom/model/walk/parameters.h"
#include "fathom/ops/tensor.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

class AdamW {
 public:
  AdamW(const ParameterSet& parameters, const OptimizerConfig& config);

  // Other settings; what is frozen stays so.
  void configure(const ParameterSet& parameters, const OptimizerConfig& config);

  // Global L2 norm of the gradients (missing ones count as zero). If grad_clip is not 0, the next
  // step takes them so many times smaller that it is at most that; they themselves stay.
  double clip_gradients();

  // With m, v the decayed means of g and g^2, corrected for their start at zero, n updates ago:
  //   w -= lr * weight_decay * w;  w -= lr * m_hat / (sqrt(v_hat) + eps)
  // A parameter without a gradient stays as it is.
  void step(double learning_rate);

  struct State {
    std::string name;  // of the parameter
    Tensor m, v;       // its shape; of a frozen parameter zeros that take no memory
    bool frozen = false;
    int64_t begun = 0;  // updates that the others had made when its moments were zero
  };
  const std::vector<State>& state() const { return state_; }
  // Updates made so far.
  int64_t steps() const { return steps_; }
  // By parameter, where it is not 0: State::begun, and of a frozen one the updates made so far.
  std::map<std::string, int64_t> begun() const;
  void set_steps(int64_t steps, const std::map<std::string, int64_t>& begun);
  void reset();  // as if no update had been made

 private:
  OptimizerConfig config_;
  double gradient_scale_ = 1;
  std::vector<Tensor> parameters_;
  std::vector<bool> decays_;
  std::vector<State> state_;
  int64_t steps_ = 0;
};

}  // namespace fathom
