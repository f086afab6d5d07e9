// A model whose layers answer, through the programs: trained, evaluated layer by layer, and asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "e2e/program.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;

class EarlyExitProgram : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new Workplace;
    place_->write("rain.txt", small_text());
    ASSERT_EQ(place_->run({"prepare", "rain.txt"}).exit_code, 0);
    training_ = train({"--run_name=early", "--confidence_threshold=0.6"});
    ASSERT_EQ(training_.exit_code, 0) << training_.err;
  }
  static void TearDownTestSuite() { delete place_; }

  static Outcome train(const Words& more) {
    Words words = {"train",           "papingo_small",      "--dataset=rain",  "--n_embd=32",
                   "--block_size=16", "--batch_size=4",     "--max_iters=150", "--warmup_iters=5",
                   "--eval_iters=4",  "--eval_interval=75", "--threads=1",     "--lr=0.003"};
    words.insert(words.end(), more.begin(), more.end());
    return place_->run(words);
  }

  static Workplace* place_;
  static Outcome training_;
};
Workplace* EarlyExitProgram::place_ = nullptr;
Outcome EarlyExitProgram::training_;

TEST_F(EarlyExitProgram, TrainingReportsTheLayers) {
  for (const char* metric : {"loss_final", "infer", "exit_rate [", "layer_loss [", "exit_depth"})
    EXPECT_THAT(training_.out, HasSubstr(metric));
}

TEST_F(EarlyExitProgram, EvaluationSaysWhoAnswered) {
  const auto e = nlohmann::json::parse(place_->run({"eval", "early", "--json"}).out);
  const auto& m = e["metrics"];
  // Learned enough for some tokens to be answered early, and some not.
  EXPECT_GT(m["exit_rate/0"], 0.02);
  EXPECT_GT(m["exit_rate/1"], 0.02);
  EXPECT_NEAR(m["exit_rate/0"].get<double>() + m["exit_rate/1"].get<double>(), 1, 1e-9);
  EXPECT_NEAR(m["exit_correct/0"].get<double>() + m["exit_correct/1"].get<double>(), e["accuracy"],
              1e-9);
  EXPECT_NEAR((m["layer_loss/0"].get<double>() + m["layer_loss/1"].get<double>()) / 2, e["loss"],
              1e-6);
  const Outcome table = place_->run({"eval", "early"});
  EXPECT_THAT(table.out, HasSubstr("right there"));
  EXPECT_THAT(table.out, HasSubstr("of 2 layers on average"));
}

TEST_F(EarlyExitProgram, GenerationSaysWhoAnsweredBesideTheText) {
  const auto generate = [&](const Words& more) {
    Words words = {"generate", "early", "--max_new_tokens=40", "--start=the "};
    words.insert(words.end(), more.begin(), more.end());
    return place_->run(words);
  };
  const Outcome first = generate({}), last = generate({"--exit=last"});
  EXPECT_THAT(first.err, HasSubstr("layer 0: "));
  EXPECT_THAT(last.err, HasSubstr("layer 1: 100.0 %"));
  EXPECT_THAT(first.out, Not(HasSubstr("answered")));
  EXPECT_EQ(first.out, generate({"--exit=first_confident"}).out);
  EXPECT_EQ(generate({"--exit=early"}).exit_code, 2);
}

TEST_F(EarlyExitProgram, KeysWithoutEffectAreSaidOnce) {
  const Outcome o = place_->run({"generate", "early", "--max_new_tokens=1", "--compile=False"});
  EXPECT_THAT(o.err, HasSubstr("compile has no effect"));
  EXPECT_EQ(o.err.find("has no effect"), o.err.rfind("has no effect"));
}

TEST_F(EarlyExitProgram, SettingsComposeWithOtherPresets) {
  const Outcome o =
      place_->run({"train", "gpt2ish_shakespeare_cpu", "--dataset=rain", "--n_layer=2",
                   "--n_head=2", "--n_embd=16", "--block_size=8", "--max_iters=2", "--eval_iters=2",
                   "--run_name=composed", "--halt_rule=max", "--layer_supervision=all", "--quiet"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  const auto e = nlohmann::json::parse(place_->run({"eval", "composed", "--json"}).out);
  EXPECT_TRUE(e["metrics"].contains("exit_rate/1"));
}

TEST_F(EarlyExitProgram, WhatHasNoMeaningIsRefusedWithBothKeys) {
  const Outcome gate = train({"--run_name=never", "--layer_tables=false", "--gate_mode=learned"});
  EXPECT_EQ(gate.exit_code, 2);
  EXPECT_THAT(gate.err, HasSubstr("gate_mode"));
  EXPECT_THAT(gate.err, HasSubstr("layer_tables"));
  EXPECT_THAT(gate.err, HasSubstr("HINT: "));
  const Outcome widths = train({"--run_name=never", "--layer_widths=[32,16]"});
  EXPECT_EQ(widths.exit_code, 2);
  EXPECT_THAT(widths.err, HasSubstr("layer_widths = [32, 16] narrows"));
  const Outcome leak =
      train({"--run_name=leak", "--confidence_mode=gold", "--mask_self=True", "--max_iters=1"});
  EXPECT_THAT(leak.out, HasSubstr("leaks the label"));
}

}  // namespace
}  // namespace fathom::testing
