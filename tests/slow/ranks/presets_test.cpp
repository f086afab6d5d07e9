// Every preset, small, over 50 steps: with 2 and 4 ranks against one process. What remains between
// them is the order of sums. How far a model carries that is shown by the same run in one process
// with the passes cut otherwise, and with weights that begin one unit of the last place away.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/nextafter.h>
#include <ATen/ops/where.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include "fathom/train/recipe/numbers_options.h"
#include "parallel/rank_threads.h"
#include "property/presets.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

constexpr int64_t kSteps = 50;

struct Curve {
  std::vector<double> losses;
  Snapshot end;
};

// How far one is from another one: the largest difference of losses, as a share, and of weights.
struct Distance {
  double loss = 0, weights = 0;
  int64_t steps = 0;  // until the losses are more than 1e-6 apart
};

Distance between(const Curve& a, const Curve& b) {
  Distance d;
  bool is_near = true;
  EXPECT_EQ(a.losses.size(), b.losses.size());
  for (size_t i = 0; i < std::min(a.losses.size(), b.losses.size()); ++i) {
    const double loss = std::abs(a.losses[i] - b.losses[i]) / std::max(1.0, std::abs(b.losses[i]));
    EXPECT_TRUE(std::isfinite(loss));
    d.loss = std::max(d.loss, loss);
    is_near = is_near && loss <= 1e-6;
    if (is_near) ++d.steps;
  }
  for (const auto& [name, values] : b.end)
    for (size_t k = 0; k < values.size(); ++k)
      d.weights = std::max<double>(d.weights, std::abs(a.end.at(name)[k] - values[k]));
  return d;
}

class RankPresets : public TrainTest {
 protected:
  static RunConfig small(const Preset& preset) {
    const RunConfig own = preset_config(preset.name);
    RunConfig config = tiny_run(property::shrink(own.model));
    config.preset = preset.name;
    config.optimizer = own.optimizer;
    config.training.loss_norm = own.training.loss_norm;
    config.data.gradient_accumulation_steps = 4;
    config.schedule.warmup_iters = 3;
    config.optimizer.learning_rate = 3e-3;
    // Gradients that are nothing but rounding (of keys' biases) are no steps of full length then.
    config.optimizer.adam_eps = 1e-4;
    config.training.max_iters = kSteps;
    config.training.eval_interval = kSteps;
    const auto& architecture = config.model.architecture;
    if (architecture != nullptr && !std::string(architecture->program_depth_key).empty()) {
      config.data.dataset = kNumbers;
      config.data.numbers = own.data.numbers;
      config.data.numbers.tokenizer = "char";  // GPT-2's would need its vocabulary
      config.model.backbone.block_size = 48;
    }
    return config;
  }

  static std::string settings_of(RunConfig config) {
    FieldList list;
    add_fields(list, config);
    return property::settings_of(config.model) + to_toml(list);
  }

  Curve train(int size, const RunConfig& config, const Corpus& corpus, bool nudged = false) {
    std::vector<Curve> curves(static_cast<size_t>(size));
    const auto errors = on_ranks(size, [&](const std::shared_ptr<Ranks>& ranks) {
      Trainer t(config, corpus, settled_vocab_size(config, corpus.vocab_size()), "");
      t.join(ranks);
      if (nudged) {
        const at::NoGradGuard no_grad;
        for (const Parameter& p : t.parameters().all()) {
          const Tensor values = p.tensor.detach().to(at::kCPU).contiguous();
          // Away from 0, which stays.
          p.tensor.copy_(at::where(values == 0, values, at::nextafter(values, values * 2)));
        }
      }
      Curve& curve = curves[static_cast<size_t>(ranks->rank())];
      TrainerEvents events;
      events.step = [&](const StepReport& r) { curve.losses.push_back(r.loss); };
      t.run(events);
      curve.end = weights(t.model());
    });
    expect_no_errors(errors);
    for (const Curve& curve : curves) EXPECT_TRUE(curve.end == curves[0].end) << "the same bits";
    return curves[0];
  }
};

TEST_F(RankPresets, HaveTheLossesOfOneProcess) {
  const char* only = std::getenv("FATHOM_PRESETS");  // those whose name has it
  std::map<std::string, std::string> known;
  std::set<std::string> beyond;
  Distance worst;
  int presets = 0;
  fmt::print("{:<28} {:>24} {:>24} {:>24} {:>24}\n{:<28}", "the largest difference from one",
             "2 ranks", "4 ranks", "passes cut otherwise", "weights an ulp away",
             "process: preset");
  for (int i = 0; i < 4; ++i) fmt::print(" {:>8} {:>8} {:>6}", "loss", "weights", "steps");
  fmt::print("\n");
  for (const Preset& preset : registry().presets()) {
    if (only != nullptr && preset.name.find(only) == std::string::npos) continue;
    SCOPED_TRACE(preset.name);
    ++presets;
    const RunConfig config = small(preset);
    const auto [same, is_new] = known.emplace(settings_of(config), preset.name);
    if (!is_new) {
      fmt::print("{:<28} as {}\n", preset.name, same->second);
      continue;
    }
    const Corpus own = config.data.dataset == kNumbers ? open_corpus(kNumbers, config) : corpus();
    const Curve one = train(1, config, own);
    RunConfig cut = config;
    cut.data.gradient_accumulation_steps = 2;
    cut.data.batch_size *= 2;
    const Distance nudged = between(train(1, config, own, /*nudged=*/true), one);
    const Distance all[] = {between(train(2, config, own), one),
                            between(train(4, config, own), one), between(train(1, cut, own), one),
                            nudged};
    fmt::print("{:<28}", preset.name);
    for (const Distance& d : all)
      fmt::print(" {:>8.1e} {:>8.1e} {:>6}", d.loss, d.weights, d.steps);
    fmt::print("\n");
    std::fflush(stdout);
    // No further than rounding carries it in one process.
    const Distance rounding = {std::max(nudged.loss, all[2].loss),
                               std::max(nudged.weights, all[2].weights)};
    for (int i = 0; i < 2; ++i) {
      EXPECT_LT(all[i].loss, std::max(1e-6, 30 * rounding.loss));
      EXPECT_LT(all[i].weights, std::max(1e-5, 30 * rounding.weights));
      worst = {std::max(worst.loss, all[i].loss), std::max(worst.weights, all[i].weights)};
      if (all[i].loss > 1e-6) beyond.insert(preset.name);
    }
  }
  fmt::print(
      "{} presets, {} different: losses within {:.1e}, weights within {:.1e}; beyond 1e-6: {}\n",
      presets, known.size(), worst.loss, worst.weights,
      beyond.empty() ? "none" : fmt::format("{}", fmt::join(beyond, ", ")));
}

}  // namespace
}  // namespace fathom::testing
