// The same work as nanogpt.py in plain C++ libtorch: a training step, and decoding with keys and
// values kept. Prints one JSON object.
//
//   peer-libtorch step|decode LAYERS HEADS WIDTH BLOCK BATCH VOCAB STEPS THREADS
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

namespace nn = torch::nn;
using torch::Tensor;

struct Shape {
  int64_t layers, heads, width, block, batch, vocab;
};

struct BlockImpl : nn::Module {
  explicit BlockImpl(const Shape& s)
      : heads(s.heads),
        norm1(register_module("norm1", nn::LayerNorm(nn::LayerNormOptions({s.width})))),
        norm2(register_module("norm2", nn::LayerNorm(nn::LayerNormOptions({s.width})))),
        qkv(register_module("qkv", linear(s.width, 3 * s.width))),
        out(register_module("out", linear(s.width, s.width))),
        up(register_module("up", linear(s.width, 4 * s.width))),
        down(register_module("down", linear(4 * s.width, s.width))) {}

  static nn::Linear linear(int64_t in, int64_t out) {
    return nn::Linear(nn::LinearOptions(in, out).bias(false));
  }

  // (B, T, C) -> (B, H, T, D)
  Tensor split(const Tensor& x) const {
    return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
  }

  // `mask` undefined: everything is seen.
  Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask) {
    Tensor scores = q.matmul(k.transpose(-2, -1)) / std::sqrt(double(q.size(3)));
    if (mask.defined()) scores = scores.masked_fill(mask, -INFINITY);
    const Tensor y = scores.softmax(-1).matmul(v).transpose(1, 2).contiguous();
    return out(y.view({y.size(0), y.size(1), -1}));
  }

  Tensor forward(Tensor x, const Tensor& mask) {
    const std::vector<Tensor> h = qkv(norm1(x)).chunk(3, -1);
    x = x + attend(split(h[0]), split(h[1]), split(h[2]), mask);
    return x + down(torch::gelu(up(norm2(x))));
  }

  // One token, its keys and values written at `position`.
  Tensor decode(Tensor x, int64_t position) {
    const std::vector<Tensor> h = qkv(norm1(x)).chunk(3, -1);
    keys.narrow(2, position, 1).copy_(split(h[1]));
    values.narrow(2, position, 1).copy_(split(h[2]));
    x = x + attend(split(h[0]), keys.narrow(2, 0, position + 1), values.narrow(2, 0, position + 1),
                   Tensor());
    return x + down(torch::gelu(up(norm2(x))));
  }

  int64_t heads;
  nn::LayerNorm norm1, norm2;
  nn::Linear qkv, out, up, down;
  Tensor keys, values;
};
TORCH_MODULE(Block);

struct ModelImpl : nn::Module {
  explicit ModelImpl(const Shape& s)
      : shape(s),
        table(register_module("table", nn::Embedding(s.vocab, s.width))),
        positions(register_module("positions", nn::Embedding(s.block, s.width))),
        norm(register_module("norm", nn::LayerNorm(nn::LayerNormOptions({s.width})))) {
    for (int64_t i = 0; i < s.layers; ++i)
      blocks.push_back(register_module("block" + std::to_string(i), Block(s)));
    mask = torch::ones({s.block, s.block}, torch::kBool).triu(1);
    const torch::NoGradGuard no_grad;
    for (Tensor& p : parameters())
      if (p.dim() > 1) p.normal_(0, 0.02);
  }

  Tensor scores(const Tensor& x) { return norm(x).matmul(table->weight.t()); }

  Tensor loss(const Tensor& tokens, const Tensor& targets) {
    Tensor x = table(tokens) + positions(torch::arange(tokens.size(1)));
    for (Block& block : blocks) x = block->forward(x, mask);
    return torch::nn::functional::cross_entropy(scores(x).view({-1, shape.vocab}),
                                                targets.reshape({-1}));
  }

  Tensor next(int64_t token, int64_t position) {
    Tensor x = table(torch::tensor({{token}})) + positions(torch::tensor({position}));
    for (Block& block : blocks) x = block->decode(x, position);
    return scores(x);
  }

  Shape shape;
  nn::Embedding table, positions;
  nn::LayerNorm norm;
  std::vector<Block> blocks;
  Tensor mask;
};
TORCH_MODULE(Model);

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<double> steps(Model& model, int64_t count) {
  const Shape& s = model->shape;
  std::vector<Tensor> decay, rest;
  for (const Tensor& p : model->parameters()) (p.dim() > 1 ? decay : rest).push_back(p);
  using torch::optim::AdamWOptions;
  const auto options = [](double weight_decay) {
    return std::make_unique<AdamWOptions>(
        AdamWOptions(1e-3).betas({0.9, 0.99}).weight_decay(weight_decay));
  };
  torch::optim::AdamW optimizer(
      std::vector<torch::optim::OptimizerParamGroup>{{decay, options(0.1)}, {rest, options(0.0)}});
  std::vector<double> times;
  for (int64_t i = 0; i < count + 2; ++i) {
    const Tensor tokens = torch::randint(s.vocab, {s.batch, s.block + 1});
    const double begin = now();
    const Tensor loss = model->loss(tokens.narrow(1, 0, s.block).contiguous(),
                                    tokens.narrow(1, 1, s.block).contiguous());
    optimizer.zero_grad();
    loss.backward();
    torch::nn::utils::clip_grad_norm_(model->parameters(), 1.0);
    optimizer.step();
    loss.item<float>();
    if (i >= 2) times.push_back(now() - begin);
  }
  return times;
}

// The second half of the window, as `fathom bench decode` measures it.
std::vector<double> tokens(Model& model, int64_t count) {
  const c10::InferenceMode no_graph;
  const Shape& s = model->shape;
  for (Block& block : model->blocks) {
    block->keys = torch::zeros({1, s.heads, s.block, s.width / s.heads});
    block->values = torch::zeros_like(block->keys);
  }
  std::vector<double> times;
  for (int64_t i = -3; i < count; ++i) {  // the first ones warm up
    const int64_t at = s.block / 2 + (i + 3) % std::max<int64_t>(s.block / 2, 1);
    const double begin = now();
    model->next(at % s.vocab, at);
    if (i >= 0) times.push_back(now() - begin);
  }
  return times;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 10 || (std::strcmp(argv[1], "step") != 0 && std::strcmp(argv[1], "decode") != 0)) {
    std::fprintf(stderr,
                 "peer-libtorch step|decode LAYERS HEADS WIDTH BLOCK BATCH VOCAB STEPS THREADS\n");
    return 2;
  }
  const auto number = [&](int i) { return std::atoll(argv[i]); };
  torch::set_num_threads(static_cast<int>(number(9)));
  torch::manual_seed(1);
  Model model(Shape{number(2), number(3), number(4), number(5), number(6), number(7)});
  std::vector<double> times =
      std::strcmp(argv[1], "step") == 0 ? steps(model, number(8)) : tokens(model, number(8));
  std::nth_element(times.begin(), times.begin() + std::ptrdiff_t(times.size() / 2), times.end());
  std::printf("{\"ms_median\": %.6f, \"threads\": %d}\n", 1e3 * times[times.size() / 2],
              torch::get_num_threads());
}
