#include "fathom/model/walk/recompute.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fathom/model/walk/graph.h"
#include "fathom/ops/autocast.h"

namespace fathom {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// The automatic casts of the forward pass, for as long as it lives: backward runs without any.
class SameCasts {
 public:
  struct State {
    bool cpu = autocast::is_on(at::kCPU), gpu = autocast::is_on(at::kCUDA);
    at::ScalarType cpu_type = autocast::type(at::kCPU), gpu_type = autocast::type(at::kCUDA);
  };

  explicit SameCasts(const State& state) {
    at::autocast::increment_nesting();
    set(state);
  }
  ~SameCasts() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    set(before_);
  }
  SameCasts(const SameCasts&) = delete;
  SameCasts& operator=(const SameCasts&) = delete;

 private:
  static void set(const State& state) {
    autocast::set_type(at::kCPU, state.cpu_type);
    autocast::set_type(at::kCUDA, state.gpu_type);
    autocast::turn(at::kCPU, state.cpu);
    autocast::turn(at::kCUDA, state.gpu);
  }
  const State before_;
};

// r, then y if it is there, then the loops' x0.
variable_list flat(const Carry& carry) {
  variable_list out = {carry.r_RC};
  if (carry.y_RC.defined()) out.push_back(carry.y_RC);
  out.insert(out.end(), carry.x0_RC.begin(), carry.x0_RC.end());
  return out;
}

Carry unflat(const variable_list& tensors, bool has_y) {
  Carry carry;
  carry.r_RC = tensors.at(0);
  if (has_y) carry.y_RC = tensors.at(1);
  carry.x0_RC.assign(tensors.begin() + (has_y ? 2 : 1), tensors.end());
  return carry;
}

struct Block : torch::CustomClassHolder {
  std::function<Carry(Carry, bool)> run;
  bool takes_y = false, gives_y = false;
  SameCasts::State casts;
};

using BlockPtr = c10::intrusive_ptr<Block>;

class RecomputeFunction : public Function<RecomputeFunction> {
 public:
  // `root` is a leaf that wants a gradient and gets none: the block's weights may want theirs even
  // if the carry does not.
  static variable_list forward(AutogradContext* ctx, const Tensor& /*root*/, at::TensorList given,
                               const BlockPtr& block) {
    const variable_list inputs = given.vec();
    ctx->save_for_backward(inputs);
    ctx->saved_data["block"] = c10::IValue::make_capsule(block);
    ctx->set_materialize_grads(false);
    const UnrememberedCasts casts;
    const Carry out = block->run(unflat(inputs, block->takes_y), /*again=*/false);
    block->gives_y = out.y_RC.defined();
    return flat(out);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto block =
        c10::static_intrusive_pointer_cast<Block>(ctx->saved_data["block"].toCapsule());
    variable_list inputs;
    for (const Tensor& saved : ctx->get_saved_variables())
      inputs.push_back(saved.detach().set_requires_grad(saved.requires_grad()));
    variable_list ends, slopes;
    {
      const at::AutoGradMode graph(true);
      const SameCasts casts(block->casts);
      const variable_list outputs =
          flat(block->run(unflat(inputs, block->takes_y), /*again=*/true));
      for (size_t i = 0; i < outputs.size(); ++i) {
        if (!gradients[i].defined() || !outputs[i].requires_grad()) continue;
        ends.push_back(outputs[i]);
        slopes.push_back(gradients[i]);
      }
    }
    if (!ends.empty()) torch::autograd::backward(ends, slopes);
    variable_list out(1);  // the root's
    for (const Tensor& input : inputs) out.push_back(input.grad());
    out.emplace_back();  // the block's
    return out;
  }
};

}  // namespace

Carry recomputed(const std::function<Carry(Carry, bool)>& run, const Carry& carry) {
  auto block = c10::make_intrusive<Block>();
  block->run = run;
  block->takes_y = carry.y_RC.defined();
  const Tensor root = at::zeros({}, carry.r_RC.options()).set_requires_grad(true);
  const variable_list inputs = flat(carry);
  const variable_list out = RecomputeFunction::apply(root, at::TensorList(inputs), block);
  return unflat(out, block->gives_y);
}

}  // namespace fathom
