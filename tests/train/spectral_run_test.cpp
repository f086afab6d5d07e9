// Spectral control in a trainer: when it comes, what it leaves, and that a run which goes on is the
// same run.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "train/testing.h"

namespace fathom::testing {
namespace {

class SpectralRunTest : public TrainTest {
 protected:
  static constexpr double kBeta = 0.1;  // below what the matrices begin with

  static RunConfig controlled(SpectralMethod method, const std::string& optimizer = "adamw") {
    RunConfig config = tiny_run(untied_config());
    config.optimizer.optimizer = optimizer;
    config.spectral.clip_beta = kBeta;
    config.spectral.method = method;
    config.training.max_iters = 7;
    config.training.log_interval = 2;
    return config;
  }
  // Of the matrices that are controlled.
  static double largest_inner(const Model& model) {
    double largest = 0;
    for (const Parameter& p : model.parameters().all())
      if (p.spec.part == Part::kAttention || p.spec.part == Part::kMlp)
        if (p.spec.shape.size() == 2)
          largest = std::max(largest, largest_singular_value(p.tensor.detach()));
    return largest;
  }
};

TEST_F(SpectralRunTest, EveryStepEndsWithinTheBall) {
  Trainer t = trainer(controlled(SpectralMethod::kPolarExpress));
  EXPECT_GT(largest_inner(t.model()), 2 * kBeta);
  for (int64_t step = 1; step <= 4; ++step) {
    const StepReport report = t.train_step().value();
    EXPECT_LE(largest_inner(t.model()), 1.002 * kBeta) << step;
    EXPECT_EQ(report.metrics.count("spectral/largest"), step == 3 ? 0U : 1U) << step;
    EXPECT_EQ(report.metrics.count("spectral/after/mlp.1.down.weight"), step == 3 ? 0U : 1U);
  }
  EXPECT_GT(t.spectral().counts().clipped, 0);
}

TEST_F(SpectralRunTest, OfBetaZeroIsTheRunWithout) {
  const auto bytes = [&](const std::string& run) {
    return slurp(checkpoint(run, "last") + "/model.safetensors") +
           slurp(checkpoint(run, "last") + "/optimizer.safetensors");
  };
  RunConfig config = controlled(SpectralMethod::kSvd);
  run(config, "on");
  config.spectral.clip_beta = 0;
  config.spectral.split_qkv = true;
  run(config, "off");
  config.spectral = {};
  run(config, "without");
  EXPECT_TRUE(bytes("off") == bytes("without"));
  EXPECT_FALSE(bytes("on") == bytes("without"));
}

TEST_F(SpectralRunTest, AStageMayBeginIt) {
  RunConfig first = controlled(SpectralMethod::kPolarExpress);
  first.training.max_iters = 2;
  RunConfig second = first;
  first.spectral = {};
  const Budget two_steps = {Budget::Unit::kSteps, 2};
  const Corpus text = corpus();
  RunPlan plan;
  plan.stages = {{"first", first, two_steps, {text}}, {"second", second, two_steps, {text}}};
  plan.written = std::make_shared<nlohmann::json>(nlohmann::json{{"plan", "of two"}});
  Trainer t(plan, 8, "");
  TrainerEvents events;
  std::vector<bool> within;
  events.step = [&](const StepReport&) {
    within.push_back(largest_inner(t.model()) <= 1.002 * kBeta);
  };
  EXPECT_EQ(t.run(events), RunEnd::kDone);
  EXPECT_EQ(within, (std::vector<bool>{false, false, true, true}));
}

// Both the weights that are trained and those that answer.
TEST_F(SpectralRunTest, AveragesAreControlledToo) {
  Trainer t = trainer(controlled(SpectralMethod::kSvd, "schedule_free_adamw"));
  for (int step = 0; step < 4; ++step) t.train_step();
  EXPECT_LE(largest_inner(t.model()), 1.00001 * kBeta);
  const Answering answering(t.optimizer());
  EXPECT_LE(largest_inner(t.model()), 1.00001 * kBeta);
}

// What is known of a matrix is not saved, and not missed.
TEST_F(SpectralRunTest, GoesOnToTheBit) {
  using M = SpectralMethod;
  int runs = 0;
  for (const auto& [method, optimizer] : {std::pair{M::kPolarExpress, "adamw"},
                                          {M::kPolarExpress, "schedule_free_adamw"},
                                          {M::kSvd, "sgd"},
                                          {M::kReferenceNs5, "muon"}})
    for (const double beta : {kBeta, 1.3}) {  // some are below 1.3 at first
      RunConfig config = controlled(method, optimizer);
      config.spectral.clip_beta = beta;
      config.spectral.every = beta == kBeta ? 2 : 1;
      config.spectral.split_qkv = beta != kBeta;
      const std::string name = std::to_string(runs++);
      SCOPED_TRACE(::testing::Message() << optimizer << ", beta " << beta);
      const History whole = run(config, "whole" + name);
      History parts;
      const std::string folder = temp_ / ("parts" + name);
      {
        Trainer first = trainer(config, folder);
        TrainerEvents events = parts.events();
        events.stop = [&] { return first.state().step == 4; };
        EXPECT_EQ(first.run(events), RunEnd::kInterrupted);
      }
      Trainer second = trainer(config, folder);
      second.resume(checkpoint("parts" + name, "last"));
      EXPECT_EQ(second.run(parts.events()), RunEnd::kDone);
      for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
        EXPECT_TRUE(slurp(checkpoint("parts" + name, "last") + "/" + file) ==
                    slurp(checkpoint("whole" + name, "last") + "/" + file))
            << file;
      ASSERT_EQ(parts.steps.size(), whole.steps.size());
      for (size_t i = 0; i < whole.steps.size(); ++i)
        EXPECT_EQ(parts.steps[i].metrics, whole.steps[i].metrics) << i;
    }
}

}  // namespace
}  // namespace fathom::testing
