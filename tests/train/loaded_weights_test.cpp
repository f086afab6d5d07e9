// Checkpoints whose numbers are none: refused when they are loaded, before a step is made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "fathom/io/checkpoint_folder.h"
#include "fathom/train/guards.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

constexpr double kLoadedNan = std::numeric_limits<double>::quiet_NaN();

class LoadedWeights : public TrainTest {};

// With right checksums, as another program may write them.
TEST_F(LoadedWeights, WhatIsNotFiniteIsRefusedWhenItIsLoaded) {
  const RunConfig config = tiny_run(untied_config());
  Trainer spoilt = trainer(config, temp_ / "run");
  spoilt.train_step();
  const std::string bad = temp_ / "bad";
  const auto save = [&] {
    CheckpointWriter writer(bad);
    write_checkpoint(writer, spoilt.state(), spoilt.parameters(), spoilt.optimizer());
    writer.commit();
  };
  const Optimizer::State& moments = spoilt.optimizer().state().back();
  auto* moment = moments.at("m").data_ptr<float>();
  *moment = static_cast<float>(kLoadedNan);
  save();
  Trainer t = trainer(config, temp_ / "run");
  EXPECT_THAT(caught([&] { t.resume(bad); }).hint(), HasSubstr("--ignore_optimizer"));
  Trainer anew = trainer(config, temp_ / "run");
  ResumeOptions options;
  options.new_optimizer = true;
  anew.resume(bad, options);

  *moment = 0;
  auto* weight = spoilt.parameters().at("mlp.1.up.weight").data_ptr<float>();
  for (const double value : {kLoadedNan, std::numeric_limits<double>::infinity()}) {
    *weight = static_cast<float>(value);
    save();
    for (const bool resumes : {false, true}) {
      Trainer loading = trainer(config, temp_ / "run");
      const Error error =
          caught([&] { resumes ? loading.resume(bad) : void(loading.start_from(bad)); });
      EXPECT_THAT(error.what(), HasSubstr("bad cannot be used: mlp.1.up.weight is not finite"));
      EXPECT_THAT(error.hint(), HasSubstr(resumes ? "--checkpoint" : "--initial_model"));
    }
  }
}

TEST_F(LoadedWeights, LargeOnesWhoseSumIsInfiniteAreFinite) {
  Trainer t = trainer(tiny_run(untied_config()));
  const at::NoGradGuard no_grad;
  Tensor weight = t.parameters().at("mlp.1.up.weight");
  weight.fill_(3e38);
  EXPECT_FALSE(find_trouble_in_weights(t.model()));
  weight.view(-1)[7] = kLoadedNan;
  EXPECT_THAT(find_trouble_in_weights(t.model()).value().what,
              HasSubstr("mlp.1.up.weight is not finite"));
}

TEST_F(LoadedWeights, TheHintNamesNoCheckpointThatIsNotThere) {
  Trainer first = trainer(tiny_run(untied_config()), temp_ / "run");
  *first.parameters().at("mlp.1.up.weight").data_ptr<float>() = static_cast<float>(kLoadedNan);
  const Error error = caught([&] { first.train_step(); });
  EXPECT_THAT(error.what(), HasSubstr("is not finite"));
  EXPECT_THAT(error.hint(), HasSubstr("begin again"));
}

}  // namespace
}  // namespace fathom::testing
