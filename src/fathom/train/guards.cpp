#include "fathom/train/guards.h"

#include <fmt/format.h>

#include <cmath>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/safetensors.h"

namespace fathom {
namespace {

// One pass over the numbers: infinities and NaN survive a sum.
bool is_finite(const Tensor& t) {
  return std::isfinite(t.detach().sum().item<double>());
}

}  // namespace

std::optional<Trouble> find_trouble_in_weights(const LanguageModel& model) {
  for (const Parameter& p : model.parameters().all())
    if (!is_finite(p.tensor)) return Trouble{fmt::format("{} is not finite", p.spec.name), true};
  return std::nullopt;
}

std::optional<Trouble> find_trouble(const LanguageModel& model, double loss, double gradient_norm,
                                    size_t passes) {
  // Weights first: they are what makes a loss or a gradient of theirs infinite.
  if (auto trouble = find_trouble_in_weights(model)) return trouble;
  if (!std::isfinite(loss))
    return Trouble{fmt::format("the loss of pass {} is not finite: {}", passes, loss)};
  if (std::isfinite(gradient_norm)) return std::nullopt;
  for (const Parameter& p : model.parameters().all())
    if (p.tensor.grad().defined() && !is_finite(p.tensor.grad()))
      return Trouble{fmt::format("the gradient of {} is not finite", p.spec.name)};
  return Trouble{fmt::format("the gradient norm is not finite: {}", gradient_norm)};
}

void check_every_gradient(const LanguageModel& model) {
  std::vector<std::string> unused;
  for (const Parameter& p : model.parameters().all())
    if (!p.tensor.grad().defined()) unused.push_back(p.spec.name);
  if (!unused.empty())
    fail(fmt::format("check_grads: the loss does not reach {}", join(unused, ", ")),
         "a part that no term of the loss depends on stays as it was initialised");
}

std::string dump_batch(const std::string& run_folder, const RunState& state,
                       const std::vector<Batch>& batches, const std::string& what) {
  const std::string path = fmt::format("{}/bad-step-{}.safetensors", run_folder, state.step);
  std::vector<Tensor> kept;
  std::vector<TensorView> views;
  const auto add = [&](const std::string& name, const Tensor& tensor) {
    if (!tensor.defined()) return;
    kept.push_back(tensor.to(at::kCPU, at::kLong).contiguous());
    const Tensor& t = kept.back();
    views.push_back({name,
                     Dtype::I64,
                     t.sizes().vec(),
                     {static_cast<const std::byte*>(t.data_ptr()), t.nbytes()}});
  };
  for (size_t i = 0; i < batches.size(); ++i) {
    add(fmt::format("pass.{}.tokens", i), batches[i].tokens_BT);
    add(fmt::format("pass.{}.targets", i), batches[i].targets_BT);
    add(fmt::format("pass.{}.valid", i), batches[i].valid_BT);
  }
  try {
    write_safetensors(path, views,
                      {{"what", what},
                       {"step", std::to_string(state.step)},
                       {"cursor", nlohmann::json(state.cursor).dump()}});
  } catch (const Error& e) {
    return fmt::format("no file, for {}", e.what());
  }
  return path;
}

}  // namespace fathom
