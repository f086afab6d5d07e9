// One model on several ranks: the run that one process makes with as many passes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/json_text.h"
#include "fathom/train/recipe/numbers_options.h"
#include "parallel/rank_threads.h"
#include "property/presets.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;

struct RankRun {
  History history;
  Snapshot end;
  std::string cursor;
  RunEnd ended = RunEnd::kDone;
  int64_t step = 0, saved_step = -1, skipped = 0;
};

class RanksTraining : public TrainTest {
 protected:
  // Four passes a step, dropout, and an evaluation of ten windows.
  static RunConfig four_passes(const ModelConfig& model = tied_config()) {
    RunConfig config = tiny_run(model);
    config.model.backbone.dropout = 0.1;
    config.data.gradient_accumulation_steps = 4;
    config.schedule.warmup_iters = 3;
    config.optimizer.learning_rate = 3e-3;
    // Gradients that are nothing but rounding (of keys' biases) are no steps of full length then.
    config.optimizer.adam_eps = 1e-4;
    config.training.max_iters = 10;
    config.training.eval_interval = 5;
    config.training.eval_iters = 5;
    return config;
  }

  using Change = std::function<void(Trainer& trainer, TrainerEvents& events)>;
  // What each rank saw. `folder` is rank 0's, below the test's own; it goes on from what is there.
  std::vector<RankRun> train(int size, const RunConfig& config, const std::string& folder = "",
                             const Change& change = {}) {
    if (!corpus_) corpus_ = corpus();
    if (!folder.empty()) std::filesystem::create_directories(temp_ / (folder + "/checkpoints"));
    std::vector<RankRun> runs(static_cast<size_t>(size));
    std::string from;
    if (!folder.empty())
      if (const auto choice = newest_complete(temp_ / (folder + "/checkpoints")))
        from = choice->folder;
    errors_ = on_ranks(size, [&](const std::shared_ptr<Ranks>& ranks) {
      RankRun& run = runs[static_cast<size_t>(ranks->rank())];
      const bool writes = ranks->is_first() && !folder.empty();
      Trainer t(config, *corpus_, settled_vocab_size(config, corpus_->vocab_size()),
                writes ? std::string(temp_ / folder) : "");
      t.join(ranks, settings_);
      if (!from.empty()) t.resume(from);
      TrainerEvents events = run.history.events();
      if (change) change(t, events);
      run.ended = t.run(events);
      run.end = weights(t.model());
      run.cursor = json_text(t.state().cursor);
      run.step = t.state().step;
      run.saved_step = t.saved_step();
      run.skipped = t.state().skipped_steps;
    });
    return runs;
  }

  static void expect_same_run(const std::vector<RankRun>& runs, const RankRun& one,
                              double weights_within = 5e-5) {
    for (const RankRun& run : runs) {
      ASSERT_EQ(run.history.steps.size(), one.history.steps.size());
      for (size_t i = 0; i < one.history.steps.size(); ++i) {
        const StepReport &a = run.history.steps[i], &b = one.history.steps[i];
        SCOPED_TRACE(b.step);
        EXPECT_NEAR(a.loss, b.loss, 1e-6 * std::max(1.0, std::abs(b.loss)));
        EXPECT_NEAR(a.gradient_norm, b.gradient_norm, (i == 0 ? 1e-5 : 2e-3) * b.gradient_norm);
        EXPECT_EQ(a.tokens, b.tokens);
        EXPECT_NEAR(a.flops, b.flops, 1e-9 * b.flops);
        ASSERT_EQ(a.metrics.size(), b.metrics.size());
        for (const auto& [name, value] : b.metrics)
          EXPECT_NEAR(a.metrics.at(name), value, 1e-3 * std::max(1.0, std::abs(value))) << name;
      }
      ASSERT_EQ(run.history.evaluations.size(), one.history.evaluations.size());
      for (size_t i = 0; i < one.history.evaluations.size(); ++i) {
        const Evaluation &a = run.history.evaluations[i].of("val"),
                         &b = one.history.evaluations[i].of("val");
        EXPECT_NEAR(a.loss, b.loss, 1e-6 * std::max(1.0, std::abs(b.loss)));
        EXPECT_EQ(a.targets, b.targets);
        EXPECT_EQ(a.deviations.size(), b.deviations.size());
      }
      EXPECT_EQ(run.cursor, one.cursor);
      for (const auto& [name, values] : one.end) {
        SCOPED_TRACE(name);
        EXPECT_EQ(run.end.at(name), runs[0].end.at(name)) << "ranks have the same bits";
        for (size_t k = 0; k < values.size(); ++k)
          ASSERT_NEAR(run.end.at(name)[k], values[k], weights_within);
      }
    }
  }

  RankSettings settings_;
  std::vector<std::string> errors_;
};

// A preset of each experiment, small, and compositions whose counts are known only after the walk.
TEST_F(RanksTraining, IsThatOfOneProcess) {
  std::set<std::string> experiments;
  std::vector<std::pair<std::string, RunConfig>> cases;
  for (const Preset& preset : registry().presets()) {
    if (!experiments.insert(preset.experiment).second) continue;
    const RunConfig own = preset_config(preset.name);
    RunConfig config = four_passes(property::shrink(own.model));
    config.preset = preset.name;
    const auto& architecture = config.model.architecture;
    if (architecture != nullptr && !std::string(architecture->program_depth_key).empty()) {
      // Of generated numbers. Where it computes with them a last bit becomes a thousand of them in
      // two steps, in one process too.
      config.data.dataset = kNumbers;
      config.data.numbers = own.data.numbers;
      config.model.backbone.block_size = 48;
      config.training.max_iters = 3;
    }
    cases.emplace_back(preset.name, config);
  }
  for (const property::Case& c : property::composed_cases())
    if (c.name == "gold" || c.name == "skip_easy by token")
      cases.emplace_back(c.name, four_passes(c.config));
  for (const auto& [name, config] : cases) {
    SCOPED_TRACE(name);
    corpus_ = config.data.dataset == kNumbers ? open_corpus(kNumbers, config) : corpus();
    const RankRun one = train(1, config)[0];
    expect_no_errors(errors_);
    const int size = name == cases[0].first ? 4 : 2;
    const std::vector<RankRun> runs = train(size, config);
    expect_no_errors(errors_);
    expect_same_run(runs, one);
  }
}

TEST_F(RanksTraining, ShardedStateHasTheSameNumbers) {
  for (const char* optimizer : {"adamw", "muon"}) {
    SCOPED_TRACE(optimizer);
    RunConfig config = four_passes();
    config.optimizer.optimizer = optimizer;
    settings_.shard_optimizer = false;
    const std::string whole_folder = std::string("whole-") + optimizer,
                      shard_folder = std::string("shard-") + optimizer;
    const std::vector<RankRun> whole = train(2, config, whole_folder);
    expect_no_errors(errors_);
    settings_.shard_optimizer = true;
    std::vector<int64_t> kept(2);
    const std::vector<RankRun> sharded = train(2, config, shard_folder, [&](Trainer& t, auto&) {
      for (const Optimizer::State& s : t.optimizer().state())
        if (!s.elsewhere)
          for (const Tensor& tensor : s.tensors)
            kept[static_cast<size_t>(t.ranks().rank())] += tensor.numel();
    });
    expect_no_errors(errors_);
    EXPECT_EQ(sharded[0].end, whole[0].end);
    EXPECT_EQ(sharded[1].end, whole[0].end);
    EXPECT_LT(std::abs(kept[0] - kept[1]), (kept[0] + kept[1]) / 3);
    for (const char* name : {"last", "best"})
      for (const char* file : {"model.safetensors", "optimizer.safetensors"})
        EXPECT_TRUE(slurp(checkpoint(whole_folder, name) + "/" + file) ==
                    slurp(checkpoint(shard_folder, name) + "/" + file))
            << name << "/" << file;
  }
}

TEST_F(RanksTraining, GoesOnWithAnotherNumberOfRanks) {
  for (const bool sharded : {false, true}) {
    SCOPED_TRACE(sharded);
    RunConfig config = four_passes();
    settings_.shard_optimizer = sharded;
    config.training.max_iters = 12;
    const std::string folder = sharded ? "sharded" : "plain";
    const RankRun one = train(1, config)[0];
    History parts;
    int64_t end = 4;
    for (const int size : {2, 4, 1}) {
      const std::vector<RankRun> runs = train(size, config, folder, [&](Trainer& t, auto& events) {
        events.stop = [&] { return t.ranks().is_first() && t.state().step >= end; };
      });
      expect_no_errors(errors_);
      for (const StepReport& r : runs[0].history.steps) parts.steps.push_back(r);
      EXPECT_EQ(runs.back().step, std::min<int64_t>(end, 12));
      EXPECT_EQ(runs.back().saved_step, runs[0].saved_step);
      end += size == 4 ? 100 : 4;
    }
    ASSERT_EQ(parts.steps.size(), one.history.steps.size());
    for (size_t i = 0; i < parts.steps.size(); ++i) {
      EXPECT_EQ(parts.steps[i].step, one.history.steps[i].step);
      EXPECT_NEAR(parts.steps[i].loss, one.history.steps[i].loss, 1e-6 * one.history.steps[i].loss);
    }
  }
}

TEST_F(RanksTraining, OneRanksStopStopsAll) {
  const std::vector<RankRun> runs = train(
      3,
      [] {
        RunConfig config = four_passes();
        config.data.gradient_accumulation_steps = 3;
        return config;
      }(),
      "run",
      [](Trainer& t, TrainerEvents& events) {
        if (t.ranks().rank() == 2) events.stop = [&] { return t.state().step == 3; };
      });
  expect_no_errors(errors_);
  for (const RankRun& run : runs) {
    EXPECT_EQ(run.ended, RunEnd::kInterrupted);
    EXPECT_EQ(run.step, 3);
    EXPECT_EQ(run.saved_step, 3);
  }
  EXPECT_EQ(load_state(checkpoint("run", "last")).step, 3);
}

// Skipped steps are every rank's.
TEST_F(RanksTraining, GuardsActTogether) {
  RunConfig config = four_passes();
  config.training.max_iters = 16;
  config.guards.spike_sigma = 1;
  config.guards.spike_window = 4;
  const RankRun one = train(1, config)[0];
  EXPECT_GT(one.skipped, 0);
  const std::vector<RankRun> runs = train(2, config);
  expect_no_errors(errors_);
  expect_same_run(runs, one);
  for (const RankRun& run : runs) EXPECT_EQ(run.skipped, one.skipped);
}

// By its name below the run's folder, wherever a rank's machine has that.
TEST_F(RanksTraining, ReturnToACheckpointWhereEachHasTheRun) {
  RunConfig config = four_passes();
  config.guards.nonfinite = Nonfinite::kRollback;
  config.schedule.warmup_iters = 0;
  config.optimizer.learning_rate = 1e30;
  for (const bool has_it : {true, false}) {
    const std::string run = has_it ? "there" : "missing", mirror = "mirror-of-" + run;
    const auto read_mirror = [&](Trainer& t, auto&) {
      if (!t.ranks().is_first()) t.read_from(temp_ / mirror);
    };
    if (has_it) std::filesystem::create_directory_symlink(temp_ / run, temp_ / mirror);
    train(2, config, run, read_mirror);
    EXPECT_EQ(errors_[0] == errors_[1], has_it) << errors_[0];
    EXPECT_THAT(errors_[1], HasSubstr(has_it ? "returns to step" : mirror + "/checkpoints/last"));
  }
}

TEST_F(RanksTraining, Bfloat16OfGradientsIsNear) {
  RunConfig config = four_passes();
  const RankRun one = train(1, config)[0];
  settings_.reduce_dtype = Precision::kBFloat16;
  const std::vector<RankRun> runs = train(2, config);
  expect_no_errors(errors_);
  EXPECT_EQ(runs[0].end, runs[1].end);
  EXPECT_NE(runs[0].history.steps[0].gradient_norm, one.history.steps[0].gradient_norm);
  for (size_t i = 0; i < one.history.steps.size(); ++i)
    EXPECT_NEAR(runs[0].history.steps[i].loss, one.history.steps[i].loss, 0.02);
}

TEST_F(RanksTraining, OneThatWouldTrainAnotherRunIsNamed) {
  if (!corpus_) corpus_ = corpus();
  const auto run_with = [&](const std::function<void(RunConfig&)>& differs) {
    return on_ranks(2, [&](const std::shared_ptr<Ranks>& ranks) {
      RunConfig config = four_passes();
      if (ranks->rank() == 1) differs(config);
      Trainer t(config, *corpus_, settled_vocab_size(config, corpus_->vocab_size()), "");
      t.join(ranks);
      t.run({});
    });
  };
  for (const std::string& error : run_with([](RunConfig& c) { c.optimizer.learning_rate = 1e-3; }))
    EXPECT_EQ(error,
              "rank 1 would train another run than rank 0: learning_rate is 0.001 there, and "
              "0.003 here");
  for (const std::string& error : run_with([](RunConfig& c) { c.training.seed = 5; }))
    EXPECT_THAT(error, HasSubstr("rank 1 would train another run than rank 0: seed is 5"));
}

TEST_F(RanksTraining, WhatCannotBeSharedIsRefused) {
  corpus_ = corpus();
  RunConfig config = four_passes();
  train(3, config);
  for (const std::string& error : errors_) {
    EXPECT_THAT(error, HasSubstr("gradient_accumulation_steps = 4"));
    EXPECT_THAT(error, HasSubstr("4 passes, which 3 ranks (nproc) cannot share equally"));
  }
  settings_.shard_optimizer = true;
  config.optimizer.optimizer = "schedule_free_adamw";
  train(2, config);
  for (const std::string& error : errors_) EXPECT_THAT(error, HasSubstr("shard_optimizer = True"));
}

}  // namespace
}  // namespace fathom::testing
