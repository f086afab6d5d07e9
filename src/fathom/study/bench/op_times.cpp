#include "fathom/study/bench/op_times.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "fathom/io/json_text.h"
#include "fathom/model/walk/attend.h"
#include "fathom/ops/ops.h"
#include "fathom/ops/optimizer.h"
#include "fathom/study/bench/times.h"

namespace fathom {
namespace {

struct Op {
  std::string name;
  std::vector<Tensor> leaves;
  std::function<Tensor()> forward;  // gives nothing: it is all of the operation
  Tensor slope = {};                // sent to what forward gives
};

double time_of(const Op& op) {
  for (Tensor leaf : op.leaves) leaf.mutable_grad() = Tensor();
  return seconds_of([&] {
    const Tensor out = op.forward();
    if (out.defined()) torch::autograd::backward({out}, {op.slope});
  });
}

std::vector<Op> ops_of(const RunConfig& config, int64_t V) {
  const BackboneConfig& b = config.model.backbone;
  const int64_t B = config.micro_batch_size(), T = b.block_size, C = b.n_embd, H = b.n_head;
  const auto leaf = [](std::vector<int64_t> shape) {
    return at::randn(shape).set_requires_grad(true);
  };
  const Tensor x = leaf({B * T, C}), norm = leaf({C}), qkv = leaf({3 * C, C}),
               up = leaf({4 * C, C}), down = leaf({C, 4 * C}), heads = leaf({B, T, 3 * C}),
               head = leaf({V, C});
  Batch batch;
  batch.tokens_BT = at::zeros({B, T}, at::TensorOptions(at::kLong));
  const auto rows = std::make_shared<const Rows>(batch);
  const GeluForm form = b.activation == Activation::kGelu ? GeluForm::kExact : GeluForm::kTanh;
  ReadoutRequest request;
  request.ids_R = at::arange(B * T).remainder(V);
  const Tensor weights = at::randn(head.sizes()), m = at::zeros(head.sizes()),
               v = at::zeros(head.sizes());
  Tensor(weights).mutable_grad() = at::randn(head.sizes());
  AdamWStep step;
  step.beta1 = 0.9, step.beta2 = 0.99, step.step_size = 1e-3, step.eps = 1e-8;
  std::vector<Op> ops = {
      {"norm", {x, norm}, [=] { return layer_norm(x, norm, Tensor(), b.norm_eps); }},
      {"linear", {x, qkv}, [=] { return linear(x, qkv, Tensor()); }},
      {"attention", {heads}, [=] { return attention(heads, H, mask_of(*rows, {}), nullptr); }},
      {"mlp",
       {x, up, down},
       [=] {
         return mlp(x, {up, {}, down, {}}, form);
       }},
      {"readout", {x, head}, [=] { return readout(x, head, {}, request).ln_p_R; }},
      {"adamw", {}, [=] { return adamw(step, weights, m, v), Tensor(); }}};
  for (Op& op : ops) {
    const Tensor out = op.forward();
    if (out.defined()) op.slope = at::randn(out.sizes());
  }
  return ops;
}

}  // namespace

std::vector<OpTimes> bench_ops(const RunConfig& config, int64_t vocab_size, int64_t repeats) {
  std::vector<OpTimes> out;
  for (const Op& op : ops_of(config, vocab_size)) {
    std::vector<double> fused, plain;
    for (int64_t i = 0; i < repeats + 1; ++i) {
      const double a = time_of(op);
      const PlainOperations only;
      const double b = time_of(op);
      if (i == 0) continue;  // warms up
      fused.push_back(a);
      plain.push_back(b);
    }
    out.push_back({op.name, 1e3 * quantile(fused, 0.5), 1e3 * quantile(plain, 0.5)});
  }
  return out;
}

void print_ops(const std::vector<OpTimes>& ops, bool json, const nlohmann::json& about) {
  if (json) {
    nlohmann::json out = about;
    for (const OpTimes& op : ops) out["ops"][op.name] = {{"ms", op.ms}, {"plain_ms", op.plain_ms}};
    fmt::print("{}\n", json_text(out, 2));
    return;
  }
  fmt::print("{:<12}{:>12}{:>12}{:>8}\n", "operation", "ms", "plain ms", "ratio");
  for (const OpTimes& op : ops)
    fmt::print("{:<12}{:>12.3f}{:>12.3f}{:>8.2f}\n", op.name, op.ms, op.plain_ms,
               op.plain_ms / op.ms);
}

}  // namespace fathom
