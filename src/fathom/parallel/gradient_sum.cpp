#include "fathom/parallel/gradient_sum.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

#include "fathom/base/error.h"

namespace fathom {
namespace {

using torch::autograd::variable_list;
using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Called when a gradient has been added to its leaf's.
struct AfterGradient : torch::autograd::FunctionPostHook {
  explicit AfterGradient(std::function<void()> call) : call(std::move(call)) {}
  variable_list operator()(const variable_list& outputs, const variable_list&) override {
    call();
    return outputs;
  }
  std::function<void()> call;
};

}  // namespace

// Its gradients in a row, and behind them, for each, how many ranks have one.
struct GradientSum::Bucket {
  std::vector<size_t> parameters;
  int64_t numbers = 0;
  Tensor flat;
  size_t missing = 0;
  std::unique_ptr<PendingSum> sum;
  Clock::time_point sent;
};

// The node lives as long as somebody holds it, and so does its hook.
struct GradientSum::Watch {
  std::shared_ptr<torch::autograd::Node> node;
  uintptr_t key = 0;
};

GradientSum::GradientSum(Ranks& ranks, std::vector<Tensor> parameters, Precision dtype,
                         BucketSizes sizes)
    : ranks_(ranks), parameters_(std::move(parameters)), dtype_(dtype), sizes_(sizes) {}

GradientSum::~GradientSum() {
  stop_watching();
}

// From the end: those gradients come first.
void GradientSum::lay_out() {
  std::vector<char> wanted;
  for (const Tensor& p : parameters_) wanted.push_back(p.requires_grad() ? 1 : 0);
  if (wanted != wanted_) {
    wanted_ = wanted;
    buckets_.clear();
    bucket_of_.assign(parameters_.size(), 0);
    for (size_t i = parameters_.size(); i-- > 0;) {
      if (wanted_[i] == 0) continue;
      const int64_t limit = (buckets_.size() <= 1 ? sizes_.first : sizes_.others) / 4;
      const int64_t more = parameters_[i].numel();
      if (buckets_.empty() || buckets_.back()->numbers + more > limit)
        buckets_.push_back(std::make_unique<Bucket>());
      buckets_.back()->parameters.push_back(i);
      buckets_.back()->numbers += more;
      bucket_of_[i] = buckets_.size() - 1;
    }
    for (const auto& bucket : buckets_)
      bucket->flat = at::empty({bucket->numbers + static_cast<int64_t>(bucket->parameters.size())},
                               at::TensorOptions(at::kFloat));
  }
  for (const auto& bucket : buckets_) bucket->missing = bucket->parameters.size();
  came_.assign(parameters_.size(), 0);
  next_ = 0;
  ahead_ = 0;
}

void GradientSum::begin() {
  lay_out();
  begun_ = true;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (wanted_[i] == 0) continue;
    Watch watch;
    watch.node = torch::autograd::impl::grad_accumulator(parameters_[i]);
    watch.key = watch.node->add_post_hook(std::make_unique<AfterGradient>([this, i] { came(i); }));
    watches_.push_back(std::move(watch));
  }
}

void GradientSum::stop_watching() {
  for (const Watch& watch : watches_) watch.node->del_post_hook(watch.key);
  watches_.clear();
}

void GradientSum::came(size_t parameter) {
  if (came_[parameter] != 0)
    fail("a gradient was added to twice in the last backward pass of a step",
         "gradients that come in parts are summed over ranks after the pass, not within it");
  came_[parameter] = 1;
  --buckets_[bucket_of_[parameter]]->missing;
  for (; next_ < buckets_.size() && buckets_[next_]->missing == 0; ++next_, ++ahead_)
    send(*buckets_[next_]);
}

void GradientSum::send(Bucket& bucket) {
  const at::NoGradGuard no_grad;
  int64_t at = 0, flag = bucket.numbers;
  for (const size_t i : bucket.parameters) {
    const Tensor& p = parameters_[i];
    const bool has_one = p.grad().defined();
    const Tensor place = bucket.flat.narrow(0, at, p.numel());
    if (has_one)
      place.view(p.sizes()).copy_(p.grad());
    else
      place.zero_();
    bucket.flat.select(0, flag++).fill_(has_one ? 1 : 0);
    at += p.numel();
  }
  bucket.sent = Clock::now();
  bucket.sum = ranks_.start_sum(bucket.flat, dtype_);
}

// Up to now, the times of buckets that were sent one after the other: each moment once.
void GradientSum::count_hidden() {
  const Clock::time_point now = Clock::now();
  Clock::time_point counted;
  for (size_t b = 0; b < next_; ++b) {
    const Bucket& bucket = *buckets_[b];
    const Clock::time_point end = std::min(now, bucket.sum->arrived().value_or(now));
    const Clock::time_point from = std::max(counted, bucket.sent);
    if (end <= from) continue;
    seconds_hidden_ += seconds_between(from, end);
    counted = end;
  }
}

void GradientSum::finish() {
  if (!begun_) lay_out();
  begun_ = false;
  stop_watching();
  count_hidden();
  for (; next_ < buckets_.size(); ++next_) send(*buckets_[next_]);
  const at::NoGradGuard no_grad;
  for (const auto& bucket : buckets_) {
    const Clock::time_point start = Clock::now();
    bucket->sum->wait();
    seconds_waited_ += seconds_between(start, Clock::now());
    bucket->sum.reset();
    const float* flags = bucket->flat.data_ptr<float>() + bucket->numbers;
    int64_t at = 0;
    for (const size_t i : bucket->parameters) {
      Tensor& p = parameters_[i];
      const Tensor sum = bucket->flat.narrow(0, at, p.numel()).view(p.sizes());
      at += p.numel();
      if (*flags++ == 0) continue;
      if (p.grad().defined())
        p.mutable_grad().copy_(sum);
      else
        p.mutable_grad() = sum.to(p.options(), /*non_blocking=*/false, /*copy=*/true);
    }
  }
}

}  // namespace fathom
