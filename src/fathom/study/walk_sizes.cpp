#include "fathom/study/walk_sizes.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_svdvals.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/model/walk/readout.h"
#include "fathom/study/seen_steps.h"

namespace fathom {
namespace {

constexpr int64_t kHistogramSample = 1 << 16;

double sum_of(const Tensor& x) {
  return x.sum().item<double>();
}

std::vector<double> doubles_of(const Tensor& x) {
  const Tensor flat = x.detach().reshape({x.numel()}).to(at::kCPU, at::kDouble).contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

// Of `count` numbers below `all`, evenly apart.
std::vector<int64_t> evenly(int64_t all, int64_t count) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < std::min(all, count); ++i) out.push_back(i * all / std::min(all, count));
  return out;
}

// What a Size is made of.
struct SizeSums {
  double squares = 0, elements = 0, deviations = 0, rows = 0, largest = 0;

  void add(const Tensor& x_RC) {
    if (x_RC.numel() == 0) return;
    const double most = x_RC.abs().max().item<double>();
    largest =
        std::isfinite(most) ? std::max(largest, most) : std::numeric_limits<double>::infinity();
    squares += sum_of(x_RC.square());
    elements += static_cast<double>(x_RC.numel());
    const auto C = static_cast<double>(x_RC.size(1));
    const Tensor off_RC = x_RC - x_RC.mean(-1, /*keepdim=*/true);
    deviations += sum_of(off_RC.square().sum(-1).div(C - 1).sqrt());
    rows += static_cast<double>(x_RC.size(0));
  }
  Size size() const {
    Size out;
    if (rows == 0) return out;
    out.rms = std::sqrt(squares / elements);
    out.sd = deviations / rows;
    out.largest = largest;
    return out;
  }
};

// A mean, as far as it is known.
struct Share {
  double sum = 0, count = 0;
  double mean() const { return count > 0 ? sum / count : kUnknownSize; }
};

// Sums of one step over all batches.
struct StepSums {
  SizeSums before, n, after, delta;
  std::vector<std::pair<std::string, SizeSums>> values;
  std::vector<NamedHistogram> histograms;
  Share cosine, lost_float32, lost_bfloat16, lens, readout, near_zero;
  double gradient_squares = kUnknownSize;  // until a graph reaches the step
  bool adds = false;                       // anything that is not exactly 0
  double rank = kUnknownSize;

  SizeSums& value(const std::string& name) {
    for (auto& [known, sums] : values)
      if (known == name) return sums;
    return values.emplace_back(name, SizeSums()).second;
  }
  Histogram& histogram(const std::string& name, const Tensor& x, size_t bins) {
    for (NamedHistogram& h : histograms)
      if (h.name == name) return h.histogram;
    const Tensor flat = x.reshape({x.numel()});
    const Tensor some =
        flat.index_select(0, index_tensor(evenly(flat.numel(), kHistogramSample), flat.device()));
    return histograms.emplace_back(NamedHistogram{name, robust_histogram(doubles_of(some), bins)})
        .histogram;
  }
};

// Shares of elements of `before` that a change leaves as they are, in so many bits. Where nothing
// is added, nothing is lost.
Share lost(const Tensor& before_RC, const Tensor& delta_RC, const Tensor& adds_RC, int bits) {
  const Tensor small_RC = delta_RC.abs() < before_RC.abs() * std::ldexp(1.0, -bits);
  return {sum_of(small_RC.logical_and(adds_RC)), static_cast<double>(small_RC.numel())};
}

bool is_named(const std::string& name, const char* part) {
  return name == part || name.rfind(std::string(part) + ".", 0) == 0;
}

Share cosine_of(const Tensor& a_RC, const Tensor& b_RC) {
  const Tensor dot_R = (a_RC * b_RC).sum(-1);
  const Tensor lengths_R = a_RC.square().sum(-1).sqrt() * b_RC.square().sum(-1).sqrt();
  const Tensor some = (lengths_R > 0).nonzero().squeeze(1);
  if (some.numel() == 0) return {};
  return {sum_of(dot_R.index_select(0, some) / lengths_R.index_select(0, some)),
          static_cast<double>(some.numel())};
}

double rank_of(const Tensor& x_RC) {
  const double most = x_RC.abs().max().item<double>();
  if (!std::isfinite(most)) return kUnknownSize;
  return effective_rank(doubles_of(at::linalg_svdvals(x_RC)));
}

void operator+=(Share& to, const Share& more) {
  to.sum += more.sum;
  to.count += more.count;
}

void add_squares(double& sum, double more) {
  sum = std::isnan(sum) ? more : sum + more;
}

// "attention.0" of "attention.0.out.weight", "position_table" of "position_table.weight".
std::string part_of(const std::string& parameter) {
  const size_t first = parameter.find('.');
  if (first == std::string::npos) return parameter;
  size_t end = first + 1;
  while (end < parameter.size() && parameter[end] >= '0' && parameter[end] <= '9') ++end;
  const bool numbered = end > first + 1 && (end == parameter.size() || parameter[end] == '.');
  return parameter.substr(0, numbered ? end : first);
}

}  // namespace

struct WalkSizes::Sums {
  DepthProgram program;
  std::vector<StepSums> steps;
  std::map<std::string, std::vector<Tensor>> gradients;  // of the summed loss, by part
  std::set<std::string> reached;                         // parts that its graph has come to
  int64_t rows = 0, ranked_rows = 0;
  double nats = 0, targets = 0;

  Reading read(const DepthWalk& walk, const Tensor& n_RC, const ReadoutSpec& readout,
               const Tensor& targets_R) const {
    ReadoutRequest request;
    request.ids_R = targets_R;
    return fathom::readout(n_RC, walk.params().head.at(readout.head), request);
  }
  void add_step(const DepthWalk& walk, const SizeOptions& options, const StepSpec& spec,
                const SeenStep& seen, const Tensor& targets_R, const Tensor& there);
  void add_values(const SizeOptions& options, const SeenStep& seen, const Tensor& there,
                  StepSums& to) const;
  void add_gradients(const ParameterSet& parameters, const Tensor& loss,
                     const std::vector<SeenStep>& seen);
};

WalkSizes::WalkSizes(const DepthModel& model, const SizeOptions& options)
    : model_(model), options_(options), sums_(std::make_unique<Sums>()) {
  sums_->program = whole_program(model);
  last_readout_step(sums_->program);  // throws
  sums_->steps.resize(sums_->program.steps.size());
}

WalkSizes::~WalkSizes() = default;

namespace {

// The rows `there` (undefined: all), in double precision.
Tensor rows_of(const Tensor& x_RC, const Tensor& there) {
  const Tensor x = x_RC.detach();
  return (there.defined() ? x.index_select(0, there) : x).to(at::kDouble);
}

}  // namespace

void WalkSizes::Sums::add_values(const SizeOptions& options, const SeenStep& seen,
                                 const Tensor& there, StepSums& to) const {
  std::map<std::string, int> times;
  size_t last_r = seen.values.size();
  for (size_t i = 0; i < seen.values.size(); ++i)
    if (seen.values[i].first == "r") last_r = i;
  for (size_t i = 0; i < seen.values.size(); ++i) {
    if (i == last_r) continue;
    const auto& [name, value_RC] = seen.values[i];
    const int number = times[name]++;
    const Tensor x_RC = rows_of(value_RC, there);
    to.value(number == 0 ? name : fmt::format("{}.{}", name, number)).add(x_RC);
    if (name != "a" && name != "m") continue;
    if (name == "a")
      to.near_zero += {sum_of(x_RC.abs() < options.eps), static_cast<double>(x_RC.numel())};
    Histogram& histogram = to.histogram(name, x_RC, options.bins);
    const std::vector<double> all = doubles_of(x_RC);
    for (const double value : all) histogram.add(value);
  }
}

namespace {

// Elements to which the block adds something: the carry is another, or, where rounding left it as
// it was, a part of the block gave something that is not 0. `r = r` adds nothing whatever they
// give.
Tensor added_elements(const SeenStep& seen, const Tensor& delta_RC, const Tensor& there) {
  Tensor adds_RC = delta_RC != 0;
  if (seen.after().is_same(seen.before_RC)) return adds_RC;
  for (const auto& [name, value_RC] : seen.values) {
    const bool is_part = name == "a" || name == "m" || is_named(name, "F");
    if (is_part && value_RC.sizes() == seen.before_RC.sizes())
      adds_RC = adds_RC.logical_or(rows_of(value_RC, there) != 0);
  }
  return adds_RC;
}

}  // namespace

void WalkSizes::Sums::add_step(const DepthWalk& walk, const SizeOptions& options,
                               const StepSpec& spec, const SeenStep& seen, const Tensor& targets_R,
                               const Tensor& there) {
  const at::NoGradGuard no_grad;
  StepSums& to = steps[static_cast<size_t>(spec.index)];
  const Tensor before_RC = rows_of(seen.before_RC, there);
  const Tensor after_RC = rows_of(seen.after(), there);
  const Tensor delta_RC = after_RC - before_RC;
  to.before.add(before_RC);
  to.n.add(rows_of(seen.n_RC, there));
  to.after.add(after_RC);
  to.delta.add(delta_RC);
  to.cosine += cosine_of(delta_RC, before_RC);
  const Tensor adds_RC = added_elements(seen, delta_RC, there);
  to.adds = to.adds || adds_RC.any().item<bool>();
  to.lost_float32 += lost(before_RC, delta_RC, adds_RC, 24);
  to.lost_bfloat16 += lost(before_RC, delta_RC, adds_RC, 8);
  add_values(options, seen, there, to);
  if (std::isnan(to.rank) && rows == 0) {
    const std::vector<int64_t> some = evenly(after_RC.size(0), options.ranked_rows);
    to.rank = rank_of(after_RC.index_select(0, index_tensor(some, after_RC.device())));
    ranked_rows = static_cast<int64_t>(some.size());
  }
  if (!targets_R.defined()) return;
  const auto count = sum_of(targets_R >= 0);
  const auto nats_of = [&](const Tensor& n_RC, const ReadoutSpec& readout) {
    return Share{-sum_of(read(walk, n_RC.detach(), readout, targets_R).ln_p_R.to(at::kDouble)),
                 count};
  };
  const StepSpec& last = last_readout_step(program);
  if (spec.layer.width == last.layer.width)
    to.lens += nats_of(
        norm(seen.after().detach(), walk.params().norm(last.layer.readout->norm), walk.settings()),
        *last.layer.readout);
  if (spec.layer.readout) to.readout += nats_of(seen.head_RC, *spec.layer.readout);
}

void WalkSizes::Sums::add_gradients(const ParameterSet& parameters, const Tensor& loss,
                                    const std::vector<SeenStep>& seen) {
  std::vector<Tensor> inputs;
  std::vector<size_t> of_step;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (!seen[i].before_RC.requires_grad()) continue;
    inputs.push_back(seen[i].before_RC);
    of_step.push_back(i);
  }
  std::vector<const Parameter*> trained;
  for (const Parameter& p : parameters.all()) {
    if (!p.tensor.requires_grad()) continue;
    inputs.push_back(p.tensor);
    trained.push_back(&p);
  }
  if (inputs.empty()) return;
  const std::vector<Tensor> found =
      torch::autograd::grad({loss}, inputs, {}, /*retain_graph=*/false, /*create_graph=*/false,
                            /*allow_unused=*/true);
  for (size_t i = 0; i < of_step.size(); ++i)
    if (found[i].defined())
      add_squares(steps[of_step[i]].gradient_squares, sum_of(found[i].to(at::kDouble).square()));
  const bool first = gradients.empty();
  std::map<std::string, size_t> next;  // which of the part's
  for (size_t i = 0; i < trained.size(); ++i) {
    const Tensor& gradient = found[of_step.size() + i];
    const Tensor sum = gradient.defined() ? gradient.detach().to(at::kDouble)
                                          : trained[i]->tensor.detach().to(at::kDouble) * 0;
    const std::string part = part_of(trained[i]->spec.name);
    if (gradient.defined()) reached.insert(part);
    std::vector<Tensor>& all = gradients[part];
    if (first)
      all.push_back(sum);
    else
      all[next[part]++].add_(sum);
  }
}

void WalkSizes::add(const Batch& batch) {
  Sums& sums = *sums_;
  const DepthWalk& walk = model_.walk();
  const bool has_targets = batch.targets_BT.defined();
  std::vector<SeenStep> seen(sums.program.steps.size());
  WalkOptions options;
  options.read = false;
  options.observe = seen_steps_observer(seen);
  Tensor targets_R, loss;
  std::shared_ptr<const Rows> rows;
  {
    const at::AutoGradMode graph(options_.gradients && has_targets);
    const Trace trace = walk.run(sums.program, batch, options);
    rows = trace.all;
    if (has_targets) {
      targets_R = rows->of(batch.targets_BT);
      const StepSpec& last = last_readout_step(sums.program);
      const SeenStep& answer = seen[static_cast<size_t>(last.index)];
      loss = -sums.read(walk, answer.head_RC, *last.layer.readout, targets_R).ln_p_R.sum();
    }
  }
  Tensor there;
  if (rows->valid_R.defined()) there = rows->valid_R.nonzero().squeeze(1);
  for (const StepSpec& step : sums.program.steps)
    sums.add_step(walk, options_, step, seen[static_cast<size_t>(step.index)], targets_R, there);
  sums.rows += there.defined() ? there.numel() : rows->count();
  if (!has_targets) return;
  sums.nats += loss.item<double>();
  sums.targets += sum_of(targets_R >= 0);
  if (options_.gradients) sums.add_gradients(model_.parameters(), loss, seen);
}

SizeFacts WalkSizes::facts() const {
  const Sums& sums = *sums_;
  const bool has_gradients = options_.gradients && sums.targets > 0;
  SizeFacts facts;
  facts.rows = sums.rows;
  facts.targets = static_cast<int64_t>(sums.targets);
  facts.ranked_rows = sums.ranked_rows;
  facts.eps = options_.eps;
  if (sums.targets > 0) facts.loss = sums.nats / sums.targets;
  const auto eps_of = [&](const NormSpec& norm) {
    if (norm.kind == NormSpec::kNone) return 0.0;
    const DepthWalk& walk = model_.walk();
    return walk.params().norm(norm).eps.value_or(walk.settings().norm_eps);
  };
  for (size_t i = 0; i < sums.steps.size(); ++i) {
    const StepSums& from = sums.steps[i];
    const StepSpec& spec = sums.program.steps[i];
    StepSizes step;
    step.name = step_name(spec);
    step.before = from.before.size();
    step.n = from.n.size();
    step.after = from.after.size();
    step.delta = from.delta.size();
    for (const auto& [name, value] : from.values) step.values.push_back({name, value.size()});
    step.cosine = from.cosine.mean();
    step.lost_float32 = from.lost_float32.mean();
    step.lost_bfloat16 = from.lost_bfloat16.mean();
    step.effective_rank = from.rank;
    step.lens = from.lens.mean();
    step.readout = from.readout.mean();
    step.near_zero = from.near_zero.mean();
    if (has_gradients) step.gradient = std::sqrt(from.gradient_squares) / sums.targets;
    const NormSpec& reads = spec.layer.norm_in;
    step.norm_eps = eps_of(reads);
    step.centred = reads.kind != NormSpec::kRms;
    if (spec.layer.readout) {
      const NormSpec& norm = spec.layer.readout->norm;
      step.read_eps = eps_of(norm);
      step.read_centred = norm.kind != NormSpec::kRms;
    }
    step.adds = from.adds;
    step.histograms = from.histograms;
    facts.steps.push_back(std::move(step));
  }
  if (!has_gradients) return facts;
  for (const auto& [part, tensors] : sums.gradients) {
    PartGradient gradient;
    gradient.name = part;
    double squares = 0;
    for (const Tensor& t : tensors) {
      squares += sum_of(t.square());
      gradient.parameters += t.numel();
    }
    gradient.norm =
        sums.reached.count(part) == 1 ? std::sqrt(squares) / sums.targets : kUnknownSize;
    facts.gradients.push_back(gradient);
  }
  return facts;
}

}  // namespace fathom
