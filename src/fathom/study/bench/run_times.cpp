#include "fathom/study/bench/run_times.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/random.h"
#include "fathom/data/shard.h"
#include "fathom/decode/decoder.h"
#include "fathom/io/scratch_folder.h"
#include "fathom/kernels/isa.h"
#include "fathom/kernels/read.h"
#include "fathom/model/device.h"
#include "fathom/study/bench/times.h"
#include "fathom/track/process_use.h"
#include "fathom/train/trainer.h"

namespace fathom {
namespace {

constexpr int kWarmUp = 3;  // times that are not measured

// A corpus of random tokens, for as long as it lives.
class RandomCorpus {
 public:
  RandomCorpus(int64_t vocab_size, int64_t tokens) {
    const RandomStream stream(1, "bench");
    std::vector<uint32_t> ids;
    for (int64_t i = 0; i < tokens; ++i)
      ids.push_back(static_cast<uint32_t>(
          stream.below(static_cast<uint64_t>(i), static_cast<uint64_t>(vocab_size))));
    for (const char* split : {"train", "val"}) {
      ShardWriter writer(folder_.file(split + std::string(".bin")), ShardFormat::kNanoGpt);
      writer.append(ids);
      writer.finish();
    }
  }

  Corpus open(int64_t vocab_size) const {
    Corpus corpus = Corpus::open(folder_.path());
    corpus.assume_vocab_size(vocab_size);
    return corpus;
  }

 private:
  const ScratchFolder folder_{"bench"};
};

// Other devices than the processor compute while the program goes on: until a number of it is here.
void wait_for(const Tensor& x) {
  if (!x.is_cpu()) x.flatten().select(0, 0).item();
}

// Products of the shapes that a training step is made of, by our kernels and by what libtorch has,
// measured between the steps: what this machine can do in the very same minute.
class ReferenceProducts {
 public:
  ReferenceProducts(const ParameterSet& parameters, int64_t rows)
      : rows_(rows), device_(parameters.all().front().tensor.device()) {
    for (const Parameter& p : parameters.all()) {
      const bool is_matrix = p.tensor.dim() == 2 && p.spec.part != Part::kTokenTable &&
                             p.spec.part != Part::kPositionTable;
      if (is_matrix) add(p.tensor.size(0), p.tensor.size(1));
    }
    // A tied head.
    if (!parameters.find("head.0.weight").defined()) {
      const Tensor table = parameters.at("token_table.0.weight");
      add(table.size(0), table.size(1));
    }
  }

  // Some of them, in turn, for about so long.
  void measure(double seconds) {
    for (double spent = 0; spent < seconds && !shapes_.empty(); ++next_) {
      Shape& shape = shapes_[next_ % shapes_.size()];
      const Tensor x = random(shape.rows, shape.in), w = random(shape.out, shape.in);
      double time = seconds_of([&] { wait_for(linear(x, w, Tensor())); });
      shape.ours.push_back(time);
      spent += time;
      time = seconds_of([&] { wait_for(at::linear(x, w)); });
      shape.torchs.push_back(time);
      spent += time;
    }
  }

  // The time of one and the same product, by libtorch.
  double one() const {
    const Shape& s = shapes_.front();
    const Tensor x = random(s.rows, s.in), w = random(s.out, s.in);
    wait_for(at::linear(x, w));
    return seconds_of([&] { wait_for(at::linear(x, w)); });
  }

  // Of the fastest one. 0: none was measured.
  double best_gflop_per_s() const {
    double best = 0;
    for (const Shape& s : shapes_)
      for (const std::vector<double>* times : {&s.ours, &s.torchs})
        if (!times->empty())
          best = std::max(
              best, 2e-9 * static_cast<double>(s.rows * s.out * s.in) / quantile(*times, 0.5));
    return best;
  }

 private:
  static constexpr int64_t kMostScores = 16 << 20;  // of a head, as the readouts have it

  struct Shape {
    int64_t rows, out, in;
    std::vector<double> ours = {}, torchs = {};
  };
  void add(int64_t out, int64_t in) {
    for (const Shape& s : shapes_)
      if (s.out == out && s.in == in) return;
    shapes_.push_back({std::min(rows_, std::max<int64_t>(kMostScores / out, 64)), out, in});
  }

  Tensor random(int64_t rows, int64_t columns) const {
    const Tensor x = at::randn({rows, columns}, at::TensorOptions(device_));
    wait_for(x);
    return x;
  }

  int64_t rows_;
  at::Device device_;
  std::vector<Shape> shapes_;
  size_t next_ = 0;
};

void add_times(nlohmann::json& out, const std::vector<double>& times, int64_t tokens) {
  out["repeats"] = times.size();
  out["tokens_per_s"] = static_cast<double>(tokens) / quantile(times, 0.5);
  out["ms_median"] = 1e3 * quantile(times, 0.5);
  out["ms_p10"] = 1e3 * quantile(times, 0.1);
  out["ms_p90"] = 1e3 * quantile(times, 0.9);
}

// How much more the last fifth of the ratios is than the first one.
double drift(const std::vector<double>& ratios) {
  const auto fifth = static_cast<std::ptrdiff_t>(ratios.size() / 5);
  const auto median = [](auto begin, auto end) {
    return quantile(std::vector<double>(begin, end), 0.5);
  };
  return median(ratios.end() - fifth, ratios.end()) /
             median(ratios.begin(), ratios.begin() + fifth) -
         1;
}

// What all threads read from memory in the very same minute: so many bytes, as often as asked.
class ReferenceRead {
 public:
  explicit ReferenceRead(double bytes) : bytes_(static_cast<size_t>(bytes), 'x') {}

  void measure(int times) {
    read();  // what was in the caches is not there any more
    for (int i = 0; i < times; ++i) times_.push_back(seconds_of([&] { read(); }));
  }
  double gb_per_s() const {
    return 1e-9 * static_cast<double>(bytes_.size()) / quantile(times_, 0.5);
  }

 private:
  void read() const {
    if (has_byte(bytes_.data(), bytes_.size(), 'y')) fail("memory does not keep what it is given");
  }

  std::vector<char> bytes_;
  std::vector<double> times_;
};

// What a token's products read of the weights.
double weight_bytes(const ParameterSet& parameters) {
  const bool tied = !parameters.find("head.0.weight").defined();
  double bytes = 0;
  for (const Parameter& p : parameters.all())
    if (p.spec.name == "token_table.0.weight"
            ? tied
            : p.spec.part != Part::kTokenTable && p.spec.part != Part::kPositionTable)
      bytes += static_cast<double>(p.tensor.numel()) * 4;
  return bytes;
}

}  // namespace

nlohmann::json about(const BenchJob& job, int threads) {
  return {{"preset", job.config.preset},
          {"vocab_size", job.vocab_size},
          {"threads", threads},
          {"instructions", plain_is_asked() ? "none" : isa_name(chosen_isa())}};
}

nlohmann::json bench_step(const BenchJob& job, int threads) {
  const RunConfig& c = job.config;
  const int64_t T = c.model.backbone.block_size;
  std::optional<RandomCorpus> corpus;
  corpus.emplace(job.vocab_size, std::max<int64_t>(16 * (T + 1), 1 << 16));
  Trainer trainer(c, corpus->open(job.vocab_size), job.vocab_size, /*folder=*/"");
  corpus.reset();  // its files stay open, and nobody finds them if this is interrupted
  ReferenceProducts products(trainer.parameters(), c.micro_batch_size() * T);
  for (int i = 0; i < kWarmUp; ++i) trainer.train_step();
  ProcessMeter meter;
  const double peak_rss_bytes =
      meter.read().peak_rss_bytes;  // the products have not been there yet
  std::vector<double> times, ratios, flops;
  for (int64_t i = 0; i < job.repeats; ++i) {
    const double time = seconds_of([&] { flops.push_back(trainer.train_step()->flops); });
    times.push_back(time);
    const at::NoGradGuard no_grad;
    ratios.push_back(time / products.one());
    products.measure(time / 2);
  }
  nlohmann::json out = about(job, threads);
  out["parameters"] = parameter_count(parameter_table(c.model, job.vocab_size));
  add_times(out, times, c.tokens_per_step());
  out["gflop_per_s"] = 1e-9 * median_rate(flops, times);
  out["best_matmul_gflop_per_s"] = products.best_gflop_per_s();
  out["peak_rss_bytes"] = peak_rss_bytes;
  constexpr size_t kManyRatios = 50;
  if (ratios.size() >= kManyRatios) out["drift"] = drift(ratios);
  // The products are in single precision.
  if (products.best_gflop_per_s() > 0 && c.training.dtype == Precision::kFloat32)
    out["share_of_best_matmul"] = out["gflop_per_s"].get<double>() / products.best_gflop_per_s();
  return out;
}

nlohmann::json bench_decode(const BenchJob& job, int threads) {
  const RunConfig& c = job.config;
  const at::Device device = choose_device(c.training.device);
  const auto model =
      make_model(c.model, job.vocab_size, static_cast<uint64_t>(c.training.seed), device);
  const int64_t T = c.model.backbone.block_size;
  Window window;
  window.capacity = T;
  const std::vector<int64_t> start(static_cast<size_t>(std::max<int64_t>(T / 2, 1)), 0);
  const std::vector<std::vector<int64_t>> texts(static_cast<size_t>(job.sequences), start);
  const double bytes = weight_bytes(model->parameters());
  ReferenceRead reference(bytes);
  std::vector<double> times, flops;
  while (static_cast<int64_t>(times.size()) < job.repeats) {
    reference.measure(3);
    Decoder decoder(*model->next_token_model(), texts, window);
    for (int64_t at = T / 2; at < T && static_cast<int64_t>(times.size()) < job.repeats; ++at) {
      NextToken next;
      const double time = seconds_of([&] {
        next = decoder.next(Exit::kFirstConfident);
        wait_for(next.scores_NV);
      });
      if (at >= T / 2 + kWarmUp || T / 2 <= kWarmUp) {
        times.push_back(time);
        flops.push_back(next.flops);
      }
      for (size_t b = 0; b < texts.size(); ++b) decoder.append(b, at % job.vocab_size);
    }
  }
  nlohmann::json out = about(job, threads);
  out["sequences"] = job.sequences;
  add_times(out, times, job.sequences);
  out["gflop_per_s"] = 1e-9 * median_rate(flops, times);
  out["weight_gb_per_s"] = 1e-9 * bytes / quantile(times, 0.5);
  out["read_gb_per_s"] = reference.gb_per_s();
  out["share_of_read"] = 1e-9 * bytes / quantile(times, 0.5) / reference.gb_per_s();
  ProcessMeter meter;
  out["peak_rss_bytes"] = meter.read().peak_rss_bytes;
  return out;
}

}  // namespace fathom
