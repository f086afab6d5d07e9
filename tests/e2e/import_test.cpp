// A GPT-2 in Hugging Face's layout is a run like any other: it is evaluated, traced, continued and
// trained, by the commands that a user types.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "e2e/program.h"
#include "exchange/golden_model.h"

namespace fathom::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;

class Imported : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new Workplace;
    place_->write("rain.txt", small_text());
    const std::string model = golden_model();
    ASSERT_EQ(place_->run({"import", model, "--run-name", "tiny"}).exit_code, 0);
    ASSERT_EQ(place_
                  ->run({"prepare", "rain.txt", "--tokenizer=bpe",
                         "--vocabulary=" + model + "/tokenizer.json"})
                  .exit_code,
              0);
  }
  static void TearDownTestSuite() { delete place_; }
  static Words training(const Words& more) {
    Words words = {"train",
                   "gpt2",
                   "--dataset=rain",
                   "--max_iters=2",
                   "--batch_size=2",
                   "--eval_iters=1",
                   "--eval_interval=2",
                   "--gradient_accumulation_steps=1",
                   "--threads=1",
                   "--decay_lr=False"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  static Outcome run(const Words& words) { return place_->run(words); }
  static double loss_of(const std::string& name) {
    const Outcome o = run({"eval", name, "--dataset=rain", "--json"});
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return json::parse(o.out)["loss"];
  }

  static inline Workplace* place_ = nullptr;
};

TEST_F(Imported, IsEvaluatedTracedAndContinued) {
  const double loss = loss_of("tiny");
  EXPECT_TRUE(std::isfinite(loss));
  const Outcome generated = run({"generate", "tiny", "--start=the rain", "--max_new_tokens=8"});
  EXPECT_EQ(generated.exit_code, 0) << generated.err;
  EXPECT_THAT(generated.out, HasSubstr("the rain"));
  const Outcome traced = run({"trace", "tiny", "--text=the rain falls"});
  EXPECT_EQ(traced.exit_code, 0) << traced.err;
}

TEST_F(Imported, ATrainingStartsFromItsWeights) {
  const Outcome o = run(training(
      {"runs/tiny/config.toml", "--dataset=rain", "--max_iters=2", "--batch_size=2",
       "--eval_iters=1", "--eval_interval=2", "--gradient_accumulation_steps=1", "--threads=1",
       "--decay_lr=False", "--initial_model=tiny", "--run_name=tuned", "--learning_rate=0.01"}));
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_LT(loss_of("tuned"), loss_of("tiny"));
  const Outcome out = run({"export", "tuned", "--hf=tuned-model"});
  EXPECT_EQ(out.exit_code, 0) << out.err;
  ASSERT_EQ(run({"import", "tuned-model", "--run-name=again"}).exit_code, 0);
  EXPECT_TRUE(same_bytes(place_->path("runs/again/checkpoints/last/model.safetensors"),
                         place_->path("runs/tuned/checkpoints/best/model.safetensors")));
}

TEST_F(Imported, ItGoesOnItselfAsAResumedRun) {
  Words words = training({"--resume", "--accept_new_data"});
  const std::string model = golden_model();
  ASSERT_EQ(run({"import", model, "--run-name=own"}).exit_code, 0);
  words.emplace_back("--run_name=own");
  const Outcome o = run(words);
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("going on at step 0"));
  EXPECT_TRUE(
      std::filesystem::exists(place_->path("runs/own/checkpoints/last/optimizer.safetensors")));
  EXPECT_NE(loss_of("own"), loss_of("tiny"));
}

}  // namespace
}  // namespace fathom::testing
