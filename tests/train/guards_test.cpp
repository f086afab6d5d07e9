// Numbers that must not reach the weights: put in on purpose, at every pass of a step.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/safetensors.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;

enum class Fault { kNone, kLoss, kAlways, kGradient, kWeight, kSpike, kUnreached };

constexpr double kGuardsNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// A model that goes wrong in its `pass`-th training pass, counted from 0; its parameters are the
// inner one's.
class FaultyModel : public Model {
 public:
  FaultyModel(std::unique_ptr<Model> inner, Fault fault, int64_t pass, double value)
      : Model(inner->parameters()),
        inner_(std::move(inner)),
        fault_(fault),
        pass_(pass),
        value_(value) {}

  ModelOutput forward(const Batch& batch, const Pass& pass) const override {
    ModelOutput output = inner_->forward(batch, pass);
    if (!pass.training) return output;
    const int64_t number = passes_++;
    if (fault_ == Fault::kAlways ? number < pass_ : number != pass_) return output;
    Tensor& sum = output.losses.at(0).sum;
    const Tensor w = parameters_.at("mlp.1.up.weight");
    const Tensor zero = (w - w.detach()).sum();
    switch (fault_) {
      case Fault::kNone:
        break;
      case Fault::kLoss:
      case Fault::kAlways:
        sum = sum * value_;
        break;
      case Fault::kGradient:  // of the root at 0: infinity, times 0
        sum = sum + zero.abs().sqrt();
        break;
      case Fault::kWeight:  // behind autograd's back, as a failing memory would
        w.data_ptr<float>()[0] = static_cast<float>(value_);
        break;
      case Fault::kSpike:
        sum = sum + 1e3 * output.losses[0].count;
        break;
      case Fault::kUnreached:
        sum = sum.detach() + w.sum();
        break;
    }
    return output;
  }
  std::map<std::string, double> known_counts(const Batch& batch, const Pass& pass) const override {
    return inner_->known_counts(batch, pass);
  }

 private:
  std::unique_ptr<Model> inner_;
  Fault fault_;
  int64_t pass_;
  double value_;
  mutable int64_t passes_ = 0;
};

constexpr int64_t kPasses = 3;  // of a step

class GuardsTest : public TrainTest {
 protected:
  RunConfig guarded(Nonfinite policy = Nonfinite::kAbort) {
    RunConfig config = tiny_run(untied_config());
    config.data.batch_size = 1;
    config.data.gradient_accumulation_steps = kPasses;
    config.guards.nonfinite = policy;
    return config;
  }
  // Goes wrong in pass `pass` of step `step`, both counted from 0.
  Trainer faulty(const RunConfig& config, Fault fault, int64_t step, int64_t pass = 0,
                 double value = kGuardsNan) {
    if (!corpus_) corpus_ = corpus();
    const int64_t V = settled_vocab_size(config, corpus_->vocab_size());
    std::filesystem::create_directories(temp_ / "run/checkpoints");
    auto inner = make_model(config.model, V, uint64_t(config.training.seed), at::kCPU);
    return {config, *corpus_, V, temp_ / "run",
            std::make_unique<FaultyModel>(std::move(inner), fault, step * kPasses + pass, value)};
  }
  static Snapshot moments(const Optimizer& optimizer) {
    Snapshot snapshot;
    for (const Optimizer::State& s : optimizer.state()) {
      snapshot[s.name + ".m"] = numbers(s.at("m"));
      snapshot[s.name + ".v"] = numbers(s.at("v"));
    }
    return snapshot;
  }
  // A NaN is not equal to itself.
  static Snapshot finite(Snapshot snapshot) {
    for (auto& [name, values] : snapshot)
      for (double& x : values)
        if (!std::isfinite(x)) x = -77;
    return snapshot;
  }
  std::string dump(int64_t step) const {
    return temp_ / ("run/bad-step-" + std::to_string(step) + ".safetensors");
  }
};

TEST_F(GuardsTest, NothingOfADamagedStepReachesTheWeights) {
  int caught_ones = 0, injected = 0;
  for (const Fault fault : {Fault::kLoss, Fault::kGradient, Fault::kWeight})
    for (const double value : {kGuardsNan, kInf, -kInf})
      for (int64_t pass = 0; pass < kPasses; ++pass) {
        if (fault == Fault::kGradient && !std::isnan(value)) continue;
        SCOPED_TRACE(::testing::Message() << int(fault) << " " << value << " in pass " << pass);
        Trainer t = faulty(guarded(), fault, 2, pass, value);
        t.train_step(), t.train_step();
        const Snapshot weights_before = weights(t.model()), moments_before = moments(t.optimizer());
        const Cursor cursor = t.state().cursor;
        ++injected;
        const std::string error = error_of([&] { t.train_step(); });
        EXPECT_THAT(error, AllOf(HasSubstr("step 3: "), HasSubstr("not finite")));
        EXPECT_THAT(error, HasSubstr(fault == Fault::kLoss ? "pass " + std::to_string(pass + 1)
                                                           : "mlp.1.up.weight"));
        caught_ones += error.find("not finite") != error.npos;
        Snapshot after = weights(t.model());
        if (fault == Fault::kWeight) {
          EXPECT_FALSE(std::isfinite(after.at("mlp.1.up.weight")[0]));
          after.at("mlp.1.up.weight")[0] = weights_before.at("mlp.1.up.weight")[0];
        }
        EXPECT_EQ(after, weights_before);
        EXPECT_EQ(moments(t.optimizer()), moments_before);
        EXPECT_EQ(t.state().step, 2);
        EXPECT_EQ(t.state().optimizer_steps, 2);
        EXPECT_EQ(t.state().cursor, cursor);
      }
  EXPECT_EQ(caught_ones, injected);
  EXPECT_EQ(injected, 21);
}

TEST_F(GuardsTest, TheBatchIsKeptForInquiry) {
  Trainer t = faulty(guarded(), Fault::kLoss, 1, 1);
  t.train_step();
  const RandomWindows source(*corpus_, "train", 1, 8, uint64_t(t.state().config.training.seed));
  Cursor cursor = t.state().cursor;
  EXPECT_THAT(error_of([&] { t.train_step(); }), HasSubstr(dump(2)));
  const SafetensorsFile file = SafetensorsFile::open(dump(2));
  EXPECT_THAT(file.metadata().at("what"), HasSubstr("the loss of pass 2 is not finite: nan"));
  EXPECT_EQ(file.tensors().size(), 2U * kPasses);
  for (int64_t pass = 0; pass < kPasses; ++pass) {
    const auto [expected, after, samples] = source.next(cursor);
    cursor = after;
    for (const auto& [name, values] :
         {std::pair{"tokens", expected.tokens}, {"targets", expected.targets}}) {
      const TensorInfo* info = file.find("pass." + std::to_string(pass) + "." + name);
      ASSERT_NE(info, nullptr);
      EXPECT_THAT(info->shape, ElementsAre(1, 8));
      const auto bytes = file.bytes(*info);
      std::vector<int64_t> kept(8);
      std::memcpy(kept.data(), bytes.data(), bytes.size());
      EXPECT_EQ(kept, values);
    }
  }
}

TEST_F(GuardsTest, EveryColumnOfTheBatchIsKept) {
  const Tensor whole = tensor_of({1, 2, 0, 1}, {2, 2}).to(at::kLong);
  const Tensor weight = tensor_of({0.5, 1, 0, 2}, {2, 2}).to(at::kFloat);
  const Batch batch = {whole, whole, weight, whole.ne(0), whole, whole};
  std::filesystem::create_directories(temp_ / "run");
  dump_batch(temp_ / "run", RunState(), {batch}, "everything");
  const SafetensorsFile file = SafetensorsFile::open(dump(1));
  EXPECT_EQ(file.tensors().size(), std::size(kBatchColumns));
  for (const BatchColumn& column : kBatchColumns) {
    const TensorInfo* info = file.find(std::string("pass.0.") + column.name);
    ASSERT_NE(info, nullptr) << column.name;
    EXPECT_EQ(info->dtype, (batch.*column.of).is_floating_point() ? Dtype::F32 : Dtype::I64);
  }
  std::vector<float> kept(4);
  std::memcpy(kept.data(), file.bytes(*file.find("pass.0.weight")).data(), 16);
  EXPECT_THAT(kept, ElementsAre(0.5f, 1, 0, 2));
}

TEST_F(GuardsTest, AFullDiskDoesNotHideTheTrouble) {
  Trainer t = faulty(guarded(), Fault::kLoss, 0);
  std::filesystem::remove_all(temp_ / "run");
  EXPECT_THAT(error_of([&] { t.train_step(); }),
              AllOf(HasSubstr("not finite"), HasSubstr("no file, for")));
}

TEST_F(GuardsTest, SkipLeavesTheStepOut) {
  for (const Fault fault : {Fault::kLoss, Fault::kGradient}) {
    Trainer t = faulty(guarded(Nonfinite::kSkip), fault, 2, 1);
    std::vector<std::string> notices;
    History history;
    TrainerEvents events = history.events();
    events.notice = [&](const std::string& notice) { notices.push_back(notice); };
    t.train_step(events), t.train_step(events);
    const Snapshot before = weights(t.model()), moments_before = moments(t.optimizer());
    const StepReport report = t.train_step(events).value();
    EXPECT_FALSE(report.updated);
    EXPECT_EQ(report.step, 3);
    EXPECT_EQ(weights(t.model()), before);
    EXPECT_EQ(moments(t.optimizer()), moments_before);
    EXPECT_EQ(t.state().step, 3);
    EXPECT_EQ(t.state().optimizer_steps, 2);
    EXPECT_EQ(t.state().cursor["batch"], 3 * kPasses) << "the batch is not met again";
    EXPECT_EQ(t.state().skipped_steps, 1);
    EXPECT_EQ(history.steps.size(), 2U);
    ASSERT_EQ(notices.size(), 1U);
    EXPECT_THAT(notices[0], AllOf(HasSubstr("not finite"), HasSubstr("the step was skipped")));
    EXPECT_TRUE(std::filesystem::exists(dump(3)));
    EXPECT_TRUE(t.train_step(events)->updated);
    EXPECT_NE(weights(t.model()), before);
  }
}

TEST_F(GuardsTest, SkippingDoesNotMendAWeight) {
  Trainer t = faulty(guarded(Nonfinite::kSkip), Fault::kWeight, 1);
  t.train_step();
  EXPECT_THAT(error_of([&] { t.train_step(); }), HasSubstr("mlp.1.up.weight is not finite"));
}

TEST_F(GuardsTest, RollbackReturnsToTheLastCheckpointBehindTheBatch) {
  for (const Fault fault : {Fault::kLoss, Fault::kGradient, Fault::kWeight}) {
    std::filesystem::remove_all(temp_ / "run");
    RunConfig config = guarded(Nonfinite::kRollback);
    config.training.max_iters = 6;
    config.training.eval_interval = 3;
    Trainer t = faulty(config, fault, 4, 2);  // two steps after the checkpoint
    History history;
    std::vector<std::string> notices;
    TrainerEvents events = history.events();
    events.notice = [&](const std::string& notice) {
      notices.push_back(notice);
      EXPECT_EQ(t.state().step, 3);
      EXPECT_EQ(finite(weights(t.model())),
                weights(*load_model(checkpoint("run", "last"), at::kCPU).model));
      EXPECT_EQ(t.state().cursor["batch"], 5 * kPasses);
    };
    EXPECT_EQ(t.run(events), RunEnd::kDone);
    ASSERT_EQ(notices.size(), 1U) << int(fault);
    EXPECT_THAT(notices[0], AllOf(HasSubstr("not finite"), HasSubstr("back to step 3")));
    EXPECT_EQ(t.state().rollbacks, 1);
    EXPECT_EQ(t.state().step, 6);
    EXPECT_EQ(t.state().optimizer_steps, 6);
    std::vector<int64_t> steps;
    for (const StepReport& s : history.steps) steps.push_back(s.step);
    EXPECT_THAT(steps, ElementsAre(1, 2, 3, 4, 4, 5, 6));
    EXPECT_EQ(t.state().cursor["batch"], 8 * kPasses);
  }
}

TEST_F(GuardsTest, ThereMayBeNothingToRollBackTo) {
  Trainer t = faulty(guarded(Nonfinite::kRollback), Fault::kLoss, 0);
  EXPECT_THAT(error_of([&] { t.train_step(); }), HasSubstr("there is no checkpoint to return to"));
}

// Every pass from `from` on goes wrong, whatever the weights.
TEST_F(GuardsTest, ReturnsThatDoNotHelpEnd) {
  RunConfig config = guarded(Nonfinite::kRollback);
  Trainer t = faulty(config, Fault::kAlways, 1);
  int64_t rollbacks = 0;
  TrainerEvents events;
  events.rollback = [&](int64_t step) {
    EXPECT_EQ(step, 0);
    ++rollbacks;
  };
  EXPECT_THAT(error_of([&] { t.run(events); }), HasSubstr("10 returns to step 0 did not help"));
  EXPECT_EQ(rollbacks, 10);
}

// Ten in a row, however often there was one before.
TEST_F(GuardsTest, EndlessSkippingEnds) {
  RunConfig config = guarded(Nonfinite::kSkip);
  config.training.max_iters = 1000;
  config.training.eval_interval = 5;
  Trainer t = faulty(config, Fault::kAlways, 7);
  EXPECT_THAT(error_of([&] { t.run({}); }), HasSubstr("10 steps in a row were skipped"));
  EXPECT_EQ(t.state().skipped_steps, 11);
  // A model whose losses are not finite is no place to return to: step 10 was not saved.
  EXPECT_EQ(load_state(checkpoint("run", "last")).step, 5);
}

TEST_F(GuardsTest, WeightsThatAreNotFiniteAreNeverSaved) {
  for (const Nonfinite policy : {Nonfinite::kAbort, Nonfinite::kSkip, Nonfinite::kRollback}) {
    std::filesystem::remove_all(temp_ / "run");
    RunConfig config = guarded(policy);
    config.training.eval_interval = 2;
    Trainer t = trainer(config, temp_ / "run");
    TrainerEvents events;
    bool broken = false;
    events.step = [&](const StepReport& r) {
      if (r.step != 4 || broken) return;  // after the update, before the saving
      broken = true;
      const at::NoGradGuard no_grad;
      t.model().parameters().at("norm_out.0.weight").select(0, 3).fill_(kInf);
    };
    if (policy == Nonfinite::kRollback) {
      EXPECT_EQ(t.run(events), RunEnd::kDone);
      EXPECT_EQ(load_state(checkpoint("run", "last")).step, 6);
      EXPECT_EQ(t.state().rollbacks, 1);
    } else {
      EXPECT_THAT(error_of([&] { t.run(events); }), HasSubstr("norm_out.0.weight is not finite"));
      EXPECT_EQ(load_state(checkpoint("run", "last")).step, 2);
    }
    for (const auto& [name, values] :
         weights(*load_model(checkpoint("run", "last"), at::kCPU).model))
      for (const double x : values) ASSERT_TRUE(std::isfinite(x)) << name;
  }
}

TEST_F(GuardsTest, AnInterruptionDoesNotSaveThemEither) {
  Trainer t = trainer(guarded(), temp_ / "run");
  TrainerEvents events;
  bool stop = false;
  events.step = [&](const StepReport& r) {
    if (r.step != 4) return;
    const at::NoGradGuard no_grad;
    t.model().parameters().at("norm_out.0.weight").fill_(kGuardsNan);
    stop = true;
  };
  events.stop = [&] { return stop; };
  EXPECT_THAT(error_of([&] { t.run(events); }), HasSubstr("norm_out.0.weight is not finite"));
  EXPECT_EQ(load_state(checkpoint("run", "last")).step, 3);
}

TEST_F(GuardsTest, SpikesAreSkippedAndNeverEnterTheWindow) {
  RunConfig config = guarded();
  config.guards.spike_sigma = 6;
  config.guards.spike_window = 8;
  Trainer t = faulty(config, Fault::kSpike, 12, 1);
  std::vector<std::string> notices;
  TrainerEvents events;
  events.notice = [&](const std::string& notice) { notices.push_back(notice); };
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(t.train_step(events)->updated) << i;
  const Snapshot before = weights(t.model());
  const nlohmann::json losses = t.state().losses, norms = t.state().gradient_norms;
  EXPECT_EQ(losses.size(), 8U);
  EXPECT_FALSE(t.train_step(events)->updated);
  EXPECT_EQ(weights(t.model()), before);
  EXPECT_EQ(nlohmann::json(t.state().losses), losses);
  EXPECT_EQ(nlohmann::json(t.state().gradient_norms), norms);
  ASSERT_EQ(notices.size(), 1U);
  EXPECT_THAT(notices[0],
              AllOf(HasSubstr("step 13: "), HasSubstr("are a spike"), HasSubstr("skipped")));
  EXPECT_TRUE(t.train_step(events)->updated);
  EXPECT_NE(nlohmann::json(t.state().losses), losses);
}

TEST_F(GuardsTest, TheSpikeGuardsSettingsAct) {
  const auto skips = [&](double sigma, int64_t window) {
    RunConfig config = guarded();
    config.guards.spike_sigma = sigma;
    config.guards.spike_window = window;
    Trainer t = faulty(config, Fault::kSpike, 12);
    for (int i = 0; i < 14; ++i) t.train_step();
    return t.state().skipped_steps > 0;
  };
  EXPECT_TRUE(skips(6, 8));
  EXPECT_FALSE(skips(0, 8));
  EXPECT_FALSE(skips(1e9, 8));
  EXPECT_FALSE(skips(6, 13)) << "the window was not full";
}

TEST_F(GuardsTest, CheckGradsNamesWhatTheLossDoesNotReach) {
  RunConfig config = guarded();
  config.data.gradient_accumulation_steps = 1;
  {
    Trainer t = faulty(config, Fault::kUnreached, 0);
    EXPECT_NO_THROW(t.train_step()) << "off";
  }
  config.guards.check_grads = true;
  Trainer t = faulty(config, Fault::kUnreached, 0);
  const std::string error = error_of([&] { t.train_step(); });
  EXPECT_THAT(error, AllOf(HasSubstr("check_grads"), HasSubstr("position_table.weight")));
  EXPECT_THAT(error, ::testing::Not(HasSubstr("mlp.1.up.weight")));
  Trainer sound = faulty(config, Fault::kNone, 0);
  EXPECT_NO_THROW(sound.train_step());
}

}  // namespace
}  // namespace fathom::testing
