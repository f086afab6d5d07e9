#include "fathom/train/guards.h"

#include <ATen/ops/stack.h>
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/json_text.h"
#include "fathom/io/safetensors.h"

namespace fathom {
namespace {

constexpr int kMaxDumps = 20;  // of a run: a bad disk must not be filled by a bad run

// One pass over the numbers: infinities and NaN survive a sum. That of large numbers may be
// infinite where none of them is.
bool is_finite(const Tensor& t) {
  return std::isfinite(t.detach().sum().item<double>()) || t.detach().isfinite().all().item<bool>();
}

// `bad-step-7.safetensors`, or -2, -3, ... where the step was met before; empty: there are enough.
std::string free_dump_path(const std::string& run_folder, int64_t step) {
  std::error_code unknown;
  int dumps = 0;
  for (std::filesystem::directory_iterator it(run_folder, unknown), end; !unknown && it != end;
       it.increment(unknown))
    dumps += it->path().filename().string().rfind("bad-step-", 0) == 0;
  if (dumps >= kMaxDumps) return "";
  std::string path = fmt::format("{}/bad-step-{}.safetensors", run_folder, step);
  for (int i = 2; std::filesystem::exists(path, unknown); ++i)
    path = fmt::format("{}/bad-step-{}-{}.safetensors", run_folder, step, i);
  return path;
}

void write_batches(const std::string& path, const RunState& state,
                   const std::vector<Batch>& batches, const std::string& what) {
  std::vector<Tensor> kept;
  std::vector<TensorView> views;
  const auto add = [&](const std::string& name, const Tensor& tensor) {
    if (!tensor.defined()) return;
    const bool whole = !tensor.is_floating_point();
    kept.push_back(tensor.to(at::kCPU, whole ? at::kLong : at::kFloat).contiguous());
    const Tensor& t = kept.back();
    views.push_back({name,
                     whole ? Dtype::I64 : Dtype::F32,
                     t.sizes().vec(),
                     {static_cast<const std::byte*>(t.data_ptr()), t.nbytes()}});
  };
  for (size_t i = 0; i < batches.size(); ++i) {
    for (const BatchColumn& column : kBatchColumns)
      add(fmt::format("pass.{}.{}", i, column.name), batches[i].*column.of);
    for (const auto& [name, values] : batches[i].labels)
      add(fmt::format("pass.{}.labels.{}", i, name), values);
  }
  write_safetensors(path, views,
                    {{"what", what},
                     {"step", std::to_string(state.step + 1)},
                     {"cursor", json_text(state.cursor)}});
}

}  // namespace

std::optional<Trouble> find_trouble_in_weights(const Model& model) {
  std::vector<Tensor> elsewhere;  // sums whose numbers are waited for at once
  for (const Parameter& p : model.parameters().all())
    if (!p.tensor.is_cpu()) elsewhere.push_back(p.tensor.detach().sum());
  if (elsewhere.size() == model.parameters().all().size() && !elsewhere.empty() &&
      is_finite(at::stack(elsewhere)))
    return std::nullopt;
  for (const Parameter& p : model.parameters().all())
    if (!is_finite(p.tensor)) return Trouble{fmt::format("{} is not finite", p.spec.name), true};
  return std::nullopt;
}

void require_finite_weights(const Model& model, const std::string& folder,
                            const std::string& hint) {
  if (const auto trouble = find_trouble_in_weights(model))
    fail(fmt::format("{} cannot be used: {}", folder, trouble->what), hint);
}

std::optional<Trouble> find_trouble(const Model& model, double loss, double gradient_norm,
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

void check_every_gradient(const Model& model) {
  std::vector<std::string> unused;
  for (const Parameter& p : model.parameters().all())
    if (p.tensor.requires_grad() &&
        (!p.tensor.grad().defined() || p.tensor.grad().count_nonzero().item<int64_t>() == 0))
      unused.push_back(p.spec.name);
  if (!unused.empty())
    fail(fmt::format("check_grads: no gradient, or one that is zero everywhere, reaches {}",
                     join(unused, ", ")),
         "a part that no term of the loss depends on stays as it was initialised: leave it out "
         "(layer_heads=False), or train it (layer_supervision=all)");
}

std::string dump_batch(const std::string& run_folder, const RunState& state,
                       const std::vector<Batch>& batches, const std::string& what) {
  const std::string path = free_dump_path(run_folder, state.step + 1);
  if (path.empty()) return fmt::format("no file: {} of them are there", kMaxDumps);
  try {
    write_batches(path, state, batches, what);
  } catch (const std::exception& e) {
    return fmt::format("no file, for {}", e.what());
  }
  return path;
}

}  // namespace fathom
