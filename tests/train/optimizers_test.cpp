// Every optimiser in a trainer: what moves, what is saved, and how a run goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/safetensors.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;

constexpr char kScheduleFree[] = "schedule_free_adamw";

class OptimizersTest : public TrainTest {
 protected:
  static RunConfig run_of(const std::string& optimizer, const ModelConfig& model = tied_config()) {
    RunConfig config = tiny_run(model);
    config.optimizer.optimizer = optimizer;
    return config;
  }
  std::string file(const std::string& run, const std::string& name) {
    return slurp(checkpoint(run, "last") + "/" + name);
  }
  std::vector<std::string> kept_of(const std::string& run, const std::string& parameter) {
    std::vector<std::string> names;
    const SafetensorsFile file =
        SafetensorsFile::open(checkpoint(run, "last") + "/optimizer.safetensors");
    for (const TensorInfo& t : file.tensors())
      if (t.name.rfind(parameter + ".", 0) == 0)
        names.push_back(t.name.substr(parameter.size() + 1));
    std::sort(names.begin(), names.end());
    return names;
  }
  Snapshot saved_weights(const std::string& run) {
    return weights(*load_model(checkpoint(run, "last"), at::kCPU).model);
  }
};

TEST_F(OptimizersTest, EveryOneMovesEveryParameterWithAndWithoutDecay) {
  for (const OptimizerRule& rule : optimizer_rules())
    for (const double decay : {0.0, 0.1})
      for (const ModelConfig& model : {tied_config(), untied_config()}) {
        RunConfig config = run_of(rule.name, model);
        config.optimizer.weight_decay = decay;
        Trainer t = trainer(config);
        const Snapshot before = weights(t.model());
        t.train_step();
        for (const auto& [name, values] : weights(t.model()))
          EXPECT_NE(values, before.at(name)) << rule.name << ", " << name << ", decay " << decay;
      }
}

TEST_F(OptimizersTest, EveryOneLearns) {
  for (const OptimizerRule& rule : optimizer_rules()) {
    RunConfig config = run_of(rule.name);
    config.training.max_iters = 40;
    config.training.eval_interval = 40;
    config.schedule.decay_lr = false;
    config.optimizer.weight_decay = 0;
    if (std::string(rule.name) == "sgd") config.optimizer.learning_rate = 0.1;
    const History history = run(config);
    ASSERT_EQ(history.evaluations.size(), 2U);
    EXPECT_LT(history.evaluations[1].of("val").loss, history.evaluations[0].of("val").loss - 0.1)
        << rule.name;
  }
}

// k + m steps are k steps, a checkpoint, another trainer, and m steps.
TEST_F(OptimizersTest, EveryOneGoesOnToTheBit) {
  for (const OptimizerRule& rule : optimizer_rules()) {
    RunConfig config = run_of(rule.name, untied_config());
    config.model.backbone.dropout = 0.1;
    config.training.max_iters = 9;
    config.training.eval_interval = 5;
    config.schedule.warmup_iters = 3;
    config.optimizer.optimizer_warmup_steps = 6;
    config.optimizer.parameter_groups =
        "mlp.0.*: frozen_until=2, lr=0.5; token_table.*: decay=0.5; mlp.1.*: frozen_until=6";
    const std::string whole_run = std::string("whole-") + rule.name;
    const History whole = run(config, whole_run);
    const RunState end = load_state(checkpoint(whole_run, "last"));
    EXPECT_EQ(end.moments_begun.at("mlp.0.up.weight"), 2);
    EXPECT_EQ(end.moments_begun.at("mlp.1.up.weight"), 6);
    EXPECT_EQ(end.moments_begun.count("head.0.weight"), 0U);
    for (const int64_t k : {1, 4, 7}) {
      SCOPED_TRACE(::testing::Message() << rule.name << ", interrupted at " << k);
      std::filesystem::remove_all(temp_ / "parts");
      History parts;
      {
        Trainer first = trainer(config, temp_ / "parts");
        TrainerEvents events = parts.events();
        events.stop = [&] { return first.state().step == k; };
        EXPECT_EQ(first.run(events), RunEnd::kInterrupted);
      }
      Trainer second = trainer(config, temp_ / "parts");
      second.resume(checkpoint("parts", "last"));
      EXPECT_EQ(second.state().step, k);
      EXPECT_EQ(second.run(parts.events()), RunEnd::kDone);
      for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"})
        EXPECT_TRUE(file("parts", name) == file(whole_run, name)) << name;
      ASSERT_EQ(parts.steps.size(), whole.steps.size());
      for (size_t i = 0; i < whole.steps.size(); ++i) {
        EXPECT_EQ(parts.steps[i].loss, whole.steps[i].loss) << i;
        EXPECT_EQ(parts.steps[i].learning_rate, whole.steps[i].learning_rate) << i;
      }
      EXPECT_EQ(parts.evaluations.back().of("val").loss, whole.evaluations.back().of("val").loss);
    }
  }
}

TEST_F(OptimizersTest, WhatEachKeepsHasItsName) {
  const std::map<std::string, std::vector<std::string>> of_a_vector = {
      {"adamw", {"m", "v"}},
      {"adam", {"m", "v"}},
      {"adagrad", {"sum"}},
      {"sgd", {"buffer"}},
      {"rmsprop", {"square_avg"}},
      {"muon", {"m", "v"}},
      {kScheduleFree, {"v", "weight_sum", "y", "z"}}};
  for (const OptimizerRule& rule : optimizer_rules()) {
    RunConfig config = run_of(rule.name);
    config.training.max_iters = 1;
    run(config, rule.name);
    EXPECT_EQ(kept_of(rule.name, "norm_out.0.weight"), of_a_vector.at(rule.name)) << rule.name;
  }
  EXPECT_THAT(kept_of("muon", "mlp.0.up.weight"), ElementsAre("buffer"));
  EXPECT_THAT(kept_of("muon", "attention.0.qkv.weight"), ElementsAre("buffer"));
  EXPECT_THAT(kept_of("muon", "token_table.0.weight"), ElementsAre("m", "v"));
}

// The weights stay, the state begins anew, and nothing of the run is lost.
TEST_F(OptimizersTest, AnotherOneMayGoOnWithARun) {
  for (const auto& [before, after] : {std::pair{"adamw", "sgd"},
                                      {"adamw", kScheduleFree},
                                      {kScheduleFree, "adamw"},
                                      {"muon", "adamw"},
                                      {"adamw", "adam"}}) {
    SCOPED_TRACE(std::string(before) + " to " + after);
    std::filesystem::remove_all(temp_ / "run");
    RunConfig config = run_of(before);
    run(config, "run");
    const Snapshot saved = saved_weights("run");
    config.optimizer.optimizer = after;
    config.training.max_iters = 9;
    Trainer t = trainer(config, temp_ / "run");
    t.resume(checkpoint("run", "last"));
    EXPECT_EQ(weights(t.model()), saved);
    EXPECT_EQ(t.state().step, 6);
    EXPECT_EQ(t.optimizer().steps(), 0);
    for (const Optimizer::State& s : t.optimizer().state())
      for (const Tensor& kept : s.tensors) EXPECT_EQ(kept.abs().sum().item<double>(), 0) << s.name;
    EXPECT_EQ(t.run({}), RunEnd::kDone);
    const RunState end = load_state(checkpoint("run", "last"));
    EXPECT_EQ(end.step, 9);
    EXPECT_EQ(end.optimizer_steps, 3);
    EXPECT_EQ(end.config.optimizer.optimizer, after);
    Trainer again = trainer(config, temp_ / "run");
    EXPECT_NO_THROW(again.resume(checkpoint("run", "last")));
    EXPECT_EQ(again.optimizer().steps(), 3);
  }
}

// What a checkpoint says about another one's tensors is not believed.
TEST_F(OptimizersTest, ACheckpointWithoutWhatItsOptimiserKeepsIsRefused) {
  run(run_of("sgd"), "run");
  const std::string folder = checkpoint("run", "last");
  auto state = nlohmann::json::parse(slurp(folder + "/state.json"));
  state["config"]["optimizer"] = "rmsprop";
  {
    CheckpointWriter writer(checkpoint("run", "forged"));
    for (const char* name : {"model.safetensors", "optimizer.safetensors"})
      std::filesystem::copy(folder + "/" + name, writer.path() + "/" + name);
    spill(writer.path() + "/state.json", state.dump());
    writer.commit();
  }
  Trainer t = trainer(run_of("rmsprop"), temp_ / "run");
  EXPECT_THAT(error_of([&] { t.resume(checkpoint("run", "forged")); }),
              HasSubstr("square_avg is missing"));
}

// Evaluations and checkpoints have the average, training goes on where it was.
TEST_F(OptimizersTest, ScheduleFreeAnswersWithItsAverage) {
  RunConfig config = run_of(kScheduleFree);
  config.schedule.decay_lr = false;
  Trainer t = trainer(config, temp_ / "run");
  History history;
  t.run(history.events());
  const Snapshot trained = weights(t.model());
  const Snapshot saved = saved_weights("run");
  EXPECT_NE(trained, saved);
  {
    const Answering answering(t.optimizer());
    EXPECT_EQ(weights(t.model()), saved);
  }
  EXPECT_EQ(weights(t.model()), trained);
  EXPECT_EQ(t.evaluate_now().of("val").loss, history.evaluations.back().of("val").loss);
  EXPECT_EQ(weights(t.model()), trained) << "also after an evaluation";
  // The same numbers by the weights alone.
  RunConfig plain = config;
  plain.optimizer.optimizer = "adamw";
  Trainer other = trainer(plain);
  other.start_from(checkpoint("run", "last"));
  EXPECT_EQ(other.evaluate_now().of("val").loss, history.evaluations.back().of("val").loss);
  // An evaluation that is stopped or fails leaves no mark either.
  TrainerEvents events;
  events.stop = [] { return true; };
  EXPECT_FALSE(t.evaluate_now(events).complete);
  events.stop = []() -> bool { fail("no memory"); };
  EXPECT_ANY_THROW(t.evaluate_now(events));
  EXPECT_EQ(weights(t.model()), trained);
}

// A rollback brings both points back.
TEST_F(OptimizersTest, ScheduleFreeComesBackFromARollback) {
  RunConfig config = run_of(kScheduleFree);
  config.guards.nonfinite = Nonfinite::kRollback;
  Trainer t = trainer(config, temp_ / "run");
  History history;
  TrainerEvents events = history.events();
  std::map<int64_t, Snapshot> at;
  events.step = [&](const StepReport& r) {
    if (r.step == 3) at[3] = weights(t.model());
    if (r.step == 5) t.model().parameters().all()[0].tensor.detach().fill_(std::nan(""));
  };
  int64_t back = -1;
  events.rollback = [&](int64_t step) {
    back = step;
    EXPECT_EQ(weights(t.model()), at.at(step));
  };
  events.stop = [&] { return back >= 0; };
  t.run(events);
  EXPECT_EQ(back, 3);
}

class WarmUp : public OptimizersTest {
 protected:
  RunConfig config() {
    RunConfig c = run_of("adamw");
    c.schedule.decay_lr = false;
    c.optimizer.learning_rate = 0.01;
    c.optimizer.optimizer_warmup_steps = 4;
    c.optimizer.optimizer_warmup_fraction = 0.2;
    return c;
  }
  static std::vector<double> rates(const History& history) {
    std::vector<double> rates;
    for (const StepReport& s : history.steps) rates.push_back(std::round(1e6 * s.learning_rate));
    return rates;
  }
};

TEST_F(WarmUp, BeginsWithTheRunAndIsNotMadeAgain) {
  RunConfig c = config();
  c.training.max_iters = 2;
  EXPECT_THAT(rates(run(c, "run")), ElementsAre(2000, 4000));
  c.training.max_iters = 7;
  Trainer t = trainer(c, temp_ / "run");
  t.resume(checkpoint("run", "last"));
  History history;
  t.run(history.events());
  EXPECT_THAT(rates(history), ElementsAre(6000, 8000, 10000, 10000, 10000));
}

TEST_F(WarmUp, IsMadeWhereAnOptimiserBeginsAnew) {
  RunConfig c = config();
  run(c, "run");
  c.training.max_iters = 8;
  const auto going_on = [&](const RunConfig& with, ResumeOptions options) {
    Trainer t = trainer(with);
    t.resume(checkpoint("run", "last"), options);
    History history;
    t.run(history.events());
    return rates(history);
  };
  ResumeOptions anew;
  anew.new_optimizer = true;
  EXPECT_THAT(going_on(c, {}), ElementsAre(10000, 10000));
  EXPECT_THAT(going_on(c, anew), ElementsAre(2000, 4000));
  RunConfig other = c;
  other.optimizer.optimizer = "rmsprop";
  EXPECT_THAT(going_on(other, {}), ElementsAre(2000, 4000));
  c.training.max_iters = 2;
  EXPECT_THAT(going_on(c, {false, /*reset_history=*/true}), ElementsAre(10000, 10000))
      << "its moments stay";
  Trainer start = trainer(c);
  start.start_from(checkpoint("run", "last"));
  History history;
  start.run(history.events());
  EXPECT_THAT(rates(history), ElementsAre(2000, 4000));
}

// Frozen until a step, for the gradient's norm as well: the others are trained as without them.
TEST_F(OptimizersTest, WhatIsFrozenUntilLaterIsAsIfItWereFrozen) {
  RunConfig late = tiny_run(), never = late;
  late.optimizer.parameter_groups = "mlp.*: frozen_until=4";
  late.guards.check_grads = true;
  never.optimizer.freeze = "mlp.*";
  Trainer a = trainer(late), b = trainer(never);
  const Snapshot before = weights(a.model());
  for (int step = 0; step < 4; ++step) {
    const double norm = a.train_step()->gradient_norm;
    EXPECT_EQ(norm, b.train_step()->gradient_norm);
  }
  EXPECT_EQ(weights(a.model()), weights(b.model()));
  EXPECT_EQ(weights(a.model()).at("mlp.0.up.weight"), before.at("mlp.0.up.weight"));
  a.train_step();
  EXPECT_NE(weights(a.model()).at("mlp.0.up.weight"), before.at("mlp.0.up.weight"));
  late.optimizer.freeze = "mlp.0.*";  // for good
  Trainer c = trainer(late);
  for (int step = 0; step < 5; ++step) c.train_step();
  EXPECT_EQ(weights(c.model()).at("mlp.0.up.weight"), before.at("mlp.0.up.weight"));
  EXPECT_NE(weights(c.model()).at("mlp.1.up.weight"), before.at("mlp.1.up.weight"));
}

}  // namespace
}  // namespace fathom::testing
