// What surely does not fit this machine is refused before anything is allocated.
#include "fathom/train/recipe/fits_memory.h"

#include <gmock/gmock.h>

#include "config/config_testing.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::refusal_of;

constexpr int64_t kLetters = 65;

// A machine of so much memory, in kB as /proc/meminfo has it.
FileReader machine_of(int64_t kb, int64_t swap_kb = 0) {
  return [=](const std::string& path) -> std::string {
    if (path != "/proc/meminfo") return "";
    return "MemTotal:       " + std::to_string(kb) + " kB\nMemFree:        10 kB\n" +
           "MemAvailable:   " + std::to_string(kb / 2) +
           " kB\nSwapTotal:      " + std::to_string(swap_kb) + " kB\n";
  };
}

class FitsMemory : public ::testing::Test {
 protected:
  FitsMemory() : config_(preset_config("gpt2ish_shakespeare_cpu")) {}

  std::string refusal(bool training, const FileReader& read) const {
    const Error e = refusal_of([&] { require_memory(config_, kLetters, training, read); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    return std::string(e.what()) + " | " + e.hint();
  }

  RunConfig config_;
};

TEST_F(FitsMemory, TheBoundIsBelowTheEstimate) {
  for (const Preset& preset : registry().presets()) {
    const RunConfig c = preset_config(preset.name);
    const auto parameters =
        static_cast<double>(parameter_count(parameter_table(c.model, kLetters)));
    EXPECT_EQ(least_memory(c, kLetters, false).total(), 4 * parameters) << preset.name;
    const LeastMemory least = least_memory(c, kLetters, true);
    EXPECT_EQ(least.weights, 16 * parameters) << preset.name;
    EXPECT_LT(least.total(),
              training_memory(c.model, kLetters, c.micro_batch_size(), c.model.backbone.block_size)
                  .total())
        << preset.name;
  }
}

TEST_F(FitsMemory, EveryPresetFitsAMachineOfItsSize) {
  EXPECT_NO_THROW(require_memory(config_, kLetters, true, machine_of(64 << 10)));
  EXPECT_NO_THROW(require_memory(config_, kLetters, true, [](const std::string&) { return ""; }))
      << "a machine that does not say what it has";
}

TEST_F(FitsMemory, TooLargeAModelIsToldWithWhatThereIs) {
  config_.model.backbone.n_embd = 1 << 18;
  config_.model.backbone.n_head = 1;
  const std::string said = refusal(true, machine_of(16 << 20));
  EXPECT_THAT(said, AllOf(HasSubstr("weights, their gradients and moments do not fit: at least"),
                          HasSubstr("this machine has 16.0 GiB"), HasSubstr("n_embd or n_layer")));
  EXPECT_THAT(refusal(false, machine_of(16 << 20)), HasSubstr("the weights do not fit"));
}

TEST_F(FitsMemory, TheKeyThatMakesItLargeIsNamed) {
  config_.model.backbone.block_size = 1 << 24;
  EXPECT_THAT(refusal(false, machine_of(1 << 20)), HasSubstr("n_embd or block_size"));
  config_ = preset_config("gpt2ish_shakespeare_cpu");
  config_.data.batch_size = 1 << 20;
  EXPECT_THAT(refusal(true, machine_of(16 << 20)),
              AllOf(HasSubstr("a forward pass of 1,048,576 sequences of 64 tokens does not fit"),
                    HasSubstr("a smaller batch_size or block_size")));
  config_.data.mini_batch_size = 1 << 19;
  EXPECT_THAT(refusal(true, machine_of(4 << 20)), HasSubstr("mini_batch_size or block_size"));
  config_.data.mini_batch_size = 16;
  EXPECT_NO_THROW(require_memory(config_, kLetters, true, machine_of(4 << 20)));
}

TEST_F(FitsMemory, WhatCannotBeKnownIsNotRefused) {
  config_.model.backbone.n_embd = 1 << 14;
  refusal(true, machine_of(16 << 20));
  EXPECT_NO_THROW(require_memory(config_, kLetters, true, machine_of(16 << 20, 256 << 20)))
      << "slow, but possible";
  config_.training.device = "cuda";
  EXPECT_NO_THROW(require_memory(config_, kLetters, true, machine_of(16 << 20)));
}

TEST_F(FitsMemory, AnEstimateAboveWhatThereIsIsTold) {
  std::vector<StageRun> stages(1);
  RunConfig& config = stages.front().config = config_;
  const auto note = [&](const FileReader& read) {
    return memory_note(stages, kLetters, read).value_or("");
  };
  config.data.batch_size = 4096;
  const FileReader read = machine_of(8 << 20);
  EXPECT_NO_THROW(require_memory(config, kLetters, true, read));
  EXPECT_THAT(note(read), AllOf(HasSubstr("training needs about "),
                                HasSubstr(", and this machine has 8.0 GiB; "),
                                HasSubstr("a --mini_batch_size below 4,096 ")));
  config.data.mini_batch_size = 12;
  EXPECT_EQ(note(read), "");
  stages.push_back(stages.front());
  stages.back().name = "wide";
  stages.back().config.data.mini_batch_size.reset();
  EXPECT_THAT(note(read), HasSubstr("the stage \"wide\" needs about "));
  EXPECT_EQ(note(machine_of(1 << 30)), "");
  EXPECT_EQ(note([](const std::string&) { return ""; }), "");
}

TEST_F(FitsMemory, AnEstimateIsOfTheRunsOptimiser) {
  const double adamw = estimated_memory(config_, kLetters).optimizer;
  config_.optimizer.optimizer = "sgd";
  EXPECT_EQ(estimated_memory(config_, kLetters).optimizer, adamw / 2);
}

TEST_F(FitsMemory, FrozenWeightsHaveNoMoments) {
  const double all = least_memory(config_, kLetters, true).weights;
  config_.optimizer.default_freeze = true;
  config_.optimizer.unfreeze = "norm_out.*";
  EXPECT_LT(least_memory(config_, kLetters, true).weights, 0.3 * all);
}

TEST_F(FitsMemory, EachOptimiserKeepsItsOwn) {
  const double weights = least_memory(config_, kLetters, false).weights;
  for (const auto& [name, times] : {std::pair{"adamw", 4.0}, {"sgd", 3.0}, {"adam", 4.0}}) {
    config_.optimizer.optimizer = name;
    EXPECT_EQ(least_memory(config_, kLetters, true).weights, times * weights) << name;
  }
  config_.optimizer.optimizer = "schedule_free_adamw";
  EXPECT_GT(least_memory(config_, kLetters, true).weights, 5 * weights);
}

TEST_F(FitsMemory, AControlGroupsLimitCounts) {
  const FileReader read = [&](const std::string& path) -> std::string {
    if (path == "/proc/self/cgroup") return "0::/box\n";
    if (path == "/proc/self/mountinfo")
      return "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
    if (path == "/sys/fs/cgroup/box/memory.max") return "1048576\n";
    if (path == "/sys/fs/cgroup/box/memory.current") return "1000\n";
    return machine_of(16 << 20)(path);
  };
  EXPECT_THAT(refusal(true, read), HasSubstr("this machine has 1.0 MiB"));
}

}  // namespace
}  // namespace fathom
