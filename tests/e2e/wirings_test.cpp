// Wirings through the programs: one that nobody has seen, typed, is described, trained, resumed and
// asked; presets whose names begin with a digit; and what is refused before anything begins.
#include <nlohmann/json.hpp>

#include "e2e/small_run.h"

namespace fathom::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class WiringProgram : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { place_ = new SmallRuns; }
  static void TearDownTestSuite() { delete place_; }

  static Words wired(const Words& more) {
    Words words = {"--wiring=a = A(n); r = r + a*sig(M(N(n + a))) - 0.5*M[1](r)", "--share=one",
                   "--lr_decay_iters=60"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  static SmallRuns* place_;
};
SmallRuns* WiringProgram::place_ = nullptr;

TEST_F(WiringProgram, ANewOneIsDescribedWithItsParametersAndFlops) {
  Words words = SmallRuns::train_words(wired({"--json"}));
  words[0] = "describe";
  const Outcome o = place_->run(words);
  ASSERT_EQ(o.exit_code, 0) << o.err;
  const auto said = nlohmann::json::parse(o.out);
  // One attention, two MLPs and a norm within the block, shared by both layers, without biases; the
  // last norm.
  const int64_t C = 32, V = said["vocab_size"];
  EXPECT_EQ(said["parameters"], (V + 16) * C + 4 * C * C + 2 * 8 * C * C + 3 * C);
  // Every layer is run, shared or not.
  EXPECT_EQ(said["flops_per_token_forward"], 2 * (2 * 20 * C * C + 4 * 16 * C) + 2 * V * C);
  EXPECT_THAT(said["wiring"].dump(), AllOf(HasSubstr("canonical"), HasSubstr("hash")));
}

TEST_F(WiringProgram, ANewOneIsTrainedResumedAndAsked) {
  ASSERT_EQ(place_->train(wired({"--run_name=whole"})).exit_code, 0);
  ASSERT_EQ(place_->train(wired({"--run_name=parts", "--max_iters=30"})).exit_code, 0);
  const Outcome resumed = place_->train(wired({"--run_name=parts", "--resume"}));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  for (const char* file : {"model.safetensors", "optimizer.safetensors"})
    EXPECT_TRUE(slurp(place_->checkpoint("whole", "last") + "/" + file) ==
                slurp(place_->checkpoint("parts", "last") + "/" + file))
        << file;
  // Beyond the block's end, so that the cache is filled, and made anew.
  const auto asked = [&](const char* run) {
    return place_->run({"generate", run, "--start=the ", "--max_new_tokens=40", "--seed=1",
                        "--checkpoint=last", "--threads=1"});
  };
  const Outcome answer = asked("whole");
  ASSERT_EQ(answer.exit_code, 0) << answer.err;
  EXPECT_THAT(answer.out, HasSubstr("the "));
  EXPECT_EQ(answer.out, asked("parts").out);
  EXPECT_EQ(place_->run({"eval", "whole"}).exit_code, 0);
}

TEST_F(WiringProgram, APresetsNameMayBeginWithADigit) {
  Words words = SmallRuns::train_words({"--run_name=8-doubled", "--max_iters=3"});
  words[1] = "8-doubleattn_small";
  const Outcome o = place_->run(words);
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(place_->run({"eval", "8-doubled"}).exit_code, 0);
  EXPECT_THAT(place_->run({"describe", "10-resmlp-single-axm-novalue"}).out,
              HasSubstr("r = r + A(n)*M(n)"));
}

TEST_F(WiringProgram, WhatIsNoWiringIsRefusedBeforeTheRun) {
  const auto refused = [&](const char* wiring) {
    const Outcome o = place_->train({"--run_name=wrong", std::string("--wiring=") + wiring});
    EXPECT_EQ(o.exit_code, 2) << o.out;
    EXPECT_THAT(o.err, HasSubstr("HINT")) << wiring;
    EXPECT_FALSE(std::filesystem::exists(place_->path("runs/wrong"))) << wiring;
    return o.err;
  };
  EXPECT_THAT(refused("r = r + A(n"), HasSubstr("column"));
  EXPECT_THAT(refused("r = r + later"), HasSubstr("later"));
  EXPECT_THAT(refused("a = A(n)"), HasSubstr("r"));
  EXPECT_THAT(refused("r = mean(r)"), HasSubstr("channels"));
}

}  // namespace
}  // namespace fathom::testing
