#include "fathom/train/loss_parts.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/scalar_tensor.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {
namespace {

// Means as the function takes them: in double precision, of a graph of their own.
std::vector<Tensor> means_of(const std::vector<Metric>& means) {
  std::vector<Tensor> out;
  for (const Metric& m : means)
    out.push_back(m.count > 0
                      ? at::scalar_tensor(m.sum / m.count, at::kDouble).set_requires_grad(true)
                      : Tensor());
  return out;
}

Tensor of_means(const LossPart& part, const std::vector<Tensor>& means) {
  const Tensor value = part.of_means(means);
  if (!value.defined()) fail(fmt::format("the loss {} is of no row of the step", part.name));
  return value;
}

// By the chain rule: the slope of the function at each of the step's means, times what the pass
// adds to that mean. What is left of the value is the same for all passes.
Tensor term_of_means(const LossPart& part, const std::vector<Metric>& whole, size_t passes) {
  if (whole.size() != part.means.size())
    fail(fmt::format("the loss {} is of {} means in one pass and of {} in another", part.name,
                     part.means.size(), whole.size()));
  const std::vector<Tensor> at = means_of(whole);
  std::vector<Tensor> leaves;
  for (const Tensor& mean : at)
    if (mean.defined()) leaves.push_back(mean);
  Tensor value;
  std::vector<Tensor> slopes;
  {
    const at::AutoGradMode graph(true);
    value = of_means(part, at);
    slopes = torch::autograd::grad({value}, leaves, {}, /*retain_graph=*/false,
                                   /*create_graph=*/false, /*allow_unused=*/true);
  }
  Tensor term;
  double rest = value.item<double>();
  size_t leaf = 0;
  for (size_t k = 0; k < whole.size(); ++k) {
    if (!at[k].defined()) continue;
    const Tensor& slope_of_mean = slopes[leaf++];
    if (!slope_of_mean.defined()) continue;
    const double slope = slope_of_mean.item<double>();
    rest -= slope * whole[k].sum / whole[k].count;
    const Tensor more = part.means[k].sum * (slope / whole[k].count);
    term = term.defined() ? term + more : more;
  }
  if (!term.defined()) fail(fmt::format("the loss {} depends on none of its means", part.name));
  return term + rest / static_cast<double>(passes);
}

}  // namespace

bool StepSums::has(const LossPart& part) const {
  return part.of_means ? means.count(part.name) > 0 : counts.count(part.name) > 0;
}

bool StepSums::is_of_nothing(const LossPart& part) const {
  if (!part.of_means) return false;
  const std::vector<Metric>& sums = means.at(part.name);
  return std::none_of(sums.begin(), sums.end(), [](const Metric& m) { return m.count > 0; });
}

void StepSums::add(const LossPart& part) {
  if (!part.of_means) {
    counts[part.name] += part.count;
    return;
  }
  std::vector<Metric>& sums = means[part.name];
  sums.resize(part.means.size());
  for (size_t k = 0; k < sums.size(); ++k)
    sums[k] += {part.means[k].sum.item<double>(), part.means[k].count};
}

void StepSums::merge(const StepSums& others) {
  counts.insert(others.counts.begin(), others.counts.end());
  means.insert(others.means.begin(), others.means.end());
}

double value_of_means(const LossPart& part, const std::vector<Metric>& means) {
  const at::NoGradGuard no_grad;
  return of_means(part, means_of(means)).item<double>();
}

Tensor term_of_pass(const LossPart& part, const StepSums& step, size_t passes) {
  if (!part.of_means) return part.sum / step.counts.at(part.name);
  return term_of_means(part, step.means.at(part.name), passes);
}

}  // namespace fathom
