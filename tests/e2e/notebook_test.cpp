// The notebooks' commands as they are written there, `python train.py` and `lmp_trainer` replaced
// by `fathom train EXPERIMENT` and `fathom train`. Each is made shorter by flags after its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "e2e/program.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/safetensors.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;

Words words_of(const std::string& line) {
  std::istringstream in(line);
  return {std::istream_iterator<std::string>(in), {}};
}

class Notebook : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new Workplace;
    std::string text;
    for (int i = 0; i < 4; ++i) text += small_text();
    place_->write("rain.txt", text);
    ASSERT_EQ(place_->run({"prepare", "rain.txt", "--name", "shakespeare_char"}).exit_code, 0);
  }
  static void TearDownTestSuite() { delete place_; }

  static Outcome type(const std::string& line) { return place_->run(words_of(line)); }
  // LMPlay's commands name no corpus, theirs is Wikipedia.
  static Outcome lmplay(const std::string& line, const std::string& more = "") {
    return type(line + " --dataset shakespeare_char --context_len 16 --max_iters 12 --quiet " +
                more);
  }
  static nlohmann::json metrics(const std::string& run) {
    const Outcome o = place_->run({"export", run, "--metrics=jsonl"});
    nlohmann::json lines = nlohmann::json::array();
    std::istringstream in(o.out);
    for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
  static std::vector<int64_t> steps_with(const std::string& run, const std::string& metric) {
    std::vector<int64_t> steps;
    for (const auto& line : metrics(run))
      if (line.contains(metric)) steps.push_back(line.at("step"));
    return steps;
  }

  static std::map<std::string, std::string> tensors_of(const std::string& run) {
    const SafetensorsFile file =
        SafetensorsFile::open(place_->path("runs/" + run + "/checkpoints/last/model.safetensors"));
    std::map<std::string, std::string> out;
    for (const TensorInfo& info : file.tensors()) {
      const auto bytes = file.bytes(info);
      out[info.name].assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    return out;
  }

  static Workplace* place_;
};
Workplace* Notebook::place_ = nullptr;

constexpr const char* kSmall = " --num-blocks 2 --embed-dim 128";

TEST_F(Notebook, ExperimentsAreListedAndDescribed) {
  const Outcome list = type("train --exp list");
  EXPECT_EQ(list.exit_code, 0);
  EXPECT_THAT(list.out, HasSubstr("gpt2ish_large"));
  const Outcome whole = type("train --exp gpt2ish --describe");
  EXPECT_EQ(whole.exit_code, 0);
  EXPECT_THAT(whole.out, HasSubstr("120,560,209"));
  EXPECT_EQ(whole.out, type("describe gpt2ish").out);
  const Outcome small = type("train --exp gpt2ish --describe --run-name x --num-blocks 2");
  EXPECT_EQ(small.out, type("describe gpt2ish --num-blocks 2").out);
  EXPECT_NE(small.out, whole.out);
}

TEST_F(Notebook, TheExperimentMustBeNamedOnce) {
  const Outcome none = type("train --num-blocks 2");
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("EXPERIMENT is missing"));
  const Outcome two = type("train gpt2ish --exp papingo");
  EXPECT_EQ(two.exit_code, 2);
  EXPECT_THAT(two.err, HasSubstr("gpt2ish and \"papingo\" at once"));
  const Outcome wrong = type("train --exp gpt2isch");
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("did you mean gpt2ish?"));
}

TEST_F(Notebook, TinyModelForDebugging) {
  const Outcome o = type(
      "train --exp gpt2ish --device cpu --mini-batch-size 1 --num-blocks 2 --embed-dim 128 "
      "--lr 0.001 --check-grads --dataset shakespeare_char --context_len 16 --max_iters 2 "
      "--batch-size 3 --run-name tiny");
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("n_head = 8: n_embd = 128 is not divisible by the preset's 12"));
  EXPECT_THAT(o.out, HasSubstr("learning rate 0.001"));
  EXPECT_THAT(o.out, HasSubstr("48 tokens a step"));
}

// The quick test: one sequence at a time, an evaluation every 10 of them, no saving on the way.
TEST_F(Notebook, IntervalsCountSequences) {
  const Outcome o = lmplay(
      std::string("train --exp gpt2ish --device cpu --mini-batch-size 1 --validation-interval 10 "
                  "--save-interval 1000000 --batch-size 3 --run-name quick") +
      kSmall);
  EXPECT_EQ(o.exit_code, 0) << o.err;
  // 3, 6, 9, 12, ...: the first step at or past each multiple of 10.
  EXPECT_EQ(steps_with("quick", "eval/val/loss"), (std::vector<int64_t>{0, 4, 7, 10, 12}));
  EXPECT_EQ(newest_complete(place_->path("runs/quick/checkpoints"))->step, 12);
}

TEST_F(Notebook, StandardTrainingOnOneDeviceOrTheOther) {
  const std::string standard =
      "train --exp gpt2ish --device cuda --amp --batch-size 50 --mini-batch-size 4 "
      "--validation-interval 100 --save-interval 10000";
  const Outcome gpu = lmplay(standard + kSmall + " --run-name gpu");
  EXPECT_EQ(gpu.exit_code, 2);
  EXPECT_THAT(gpu.err, HasSubstr("Torch_DIR"));
  EXPECT_FALSE(std::filesystem::exists(place_->path("runs/gpu")));
  const Outcome cpu = lmplay(standard + kSmall + " --run-name cpu --device cpu", "--max_iters 3");
  EXPECT_EQ(cpu.exit_code, 0) << cpu.err;
  EXPECT_EQ(steps_with("cpu", "eval/val/loss"), (std::vector<int64_t>{0, 2, 3}));
  EXPECT_THAT(slurp(place_->path("runs/cpu/config.toml")), HasSubstr("dtype = \"bfloat16\""));
}

TEST_F(Notebook, OtherSwitchesAreSaidOrRefused) {
  const Outcome said = type(
      "train --exp gpt2ish --device cpu --compile-model --compile-mode reduce-overhead "
      "--no-grad-scale --disable-optimizer-warmup --dont-include-prompts --verbose --optimizer "
      "adamw "
      "--dataset shakespeare_char --context_len 16 --max_iters 1 --batch-size 1 --run-name said" +
      std::string(kSmall));
  EXPECT_EQ(said.exit_code, 0) << said.err;
  for (const char* key : {"compile_model", "compile_mode", "no_grad_scale", "verbose",
                          "disable_optimizer_warmup", "dont_include_prompts"})
    EXPECT_THAT(said.out, HasSubstr(std::string(key) + " has no effect")) << key;
  for (const auto& [flag, hint] :
       {std::pair{"--model my_model.lmp", "--run_name"}, {"--optimizer lion", "adamw"}}) {
    const Outcome refused = lmplay(std::string("train --exp gpt2ish --device cpu ") + flag);
    EXPECT_EQ(refused.exit_code, 2) << flag;
    EXPECT_THAT(refused.err, HasSubstr(hint)) << flag;
    EXPECT_THAT(refused.err, HasSubstr("HINT:")) << flag;
  }
}

// A curriculum over two corpora; and the same command once more, with another one.
TEST_F(Notebook, TrainingInStages) {
  place_->write("my_plan.json", R"({"stage1": {"dataset": "wikipedia", "epochs": 0.01},
                                    "stage2": {"dataset": "openorca", "epochs": 0.02}})");
  const std::string line = "train --exp gpt2ish --device cpu --training-plan my_plan.json";
  const std::string more = std::string(kSmall) + " --batch-size 3 --context_len 16 --eval_iters 1";
  const Outcome missing = type(line + more);
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_THAT(missing.err, HasSubstr("the stage stage1: the data \"wikipedia\" is not prepared"));
  EXPECT_THAT(missing.err, HasSubstr("HINT: `fathom prepare wikipedia`"));
  for (const char* name : {"wikipedia", "openorca"})
    ASSERT_EQ(type(std::string("prepare rain.txt --name ") + name).exit_code, 0);
  const Outcome plan = type("plan my_plan.json gpt2ish --json" + more);
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  const auto stages = nlohmann::json::parse(plan.out).at("stages");
  const Outcome o = type(line + more + " --run-name staged");
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("stage stage1: wikipedia for 0.01 epochs"));
  const auto newest = newest_complete(place_->path("runs/staged/checkpoints"));
  EXPECT_EQ(newest->step,
            stages[0].at("steps").get<int64_t>() + stages[1].at("steps").get<int64_t>());
  EXPECT_TRUE(std::filesystem::exists(place_->path("runs/staged/checkpoints/stage-stage1")));
  EXPECT_THAT(slurp(place_->path("runs/staged/plan.json")), HasSubstr("stage2"));
  const Outcome again = type(line + more + " --run-name staged --resume");
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("the last stage of my_plan.json is done"));
  place_->write("longer.json", R"({"stage2": {"dataset": "openorca", "epochs": 0.03}})");
  const Outcome on = type(
      "train --exp gpt2ish --training-plan longer.json --override-plan "
      "--run-name staged --resume");
  EXPECT_EQ(on.exit_code, 0) << on.err;
  EXPECT_GT(newest_complete(place_->path("runs/staged/checkpoints"))->step, newest->step);
}

TEST_F(Notebook, OtherOptimisersTrainAndWarmUp) {
  const Outcome o = type(
      "train --exp gpt2ish --device cpu --batch-size 1 --optimizer adagrad "
      "--optimizer-warmup-steps 40 --optimizer-warmup-fraction 0.1 --run-name other "
      "--dataset shakespeare_char --context_len 16 --max_iters 2" +
      std::string(kSmall));
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("Adagrad, learning rate 0.0006, weight decay 0;"));
  EXPECT_THAT(o.out, HasSubstr("weight_decay = 0: 0.01 was decoupled"));
  EXPECT_THAT(slurp(place_->path("runs/other/config.toml")), HasSubstr("weight_decay = 0.0"));
}

TEST_F(Notebook, FrozenParametersStay) {
  const std::string base = std::string("train --exp gpt2ish --device cpu --batch-size 3") + kSmall;
  ASSERT_EQ(lmplay(base + " --run-name begin", "--max_iters 0").exit_code, 0);
  const auto all = tensors_of("begin");
  const auto changed = [&](const std::string& run, const std::string& flags) {
    const Outcome o = lmplay(base + " --run-name " + run + " " + flags);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    std::set<std::string> names;
    for (const auto& [name, bytes] : tensors_of(run))
      if (bytes != all.at(name)) names.insert(name);
    return names;
  };
  EXPECT_EQ(changed("every", "--check-grads").size(), all.size());
  const auto some =
      changed("some", "--freeze token_table.*,mlp.0.* --unfreeze mlp.0.up.bias --check-grads");
  EXPECT_EQ(some.size(), all.size() - 4);
  EXPECT_EQ(some.count("mlp.0.up.bias"), 1U);
  EXPECT_EQ(some.count("mlp.0.up.weight") + some.count("token_table.0.weight"), 0U);
  EXPECT_EQ(changed("head", "--default-freeze --unfreeze head.*"),
            (std::set<std::string>{"head.0.bias", "head.0.weight"}));
  const Outcome said = type(base +
                            " --run-name part --dataset shakespeare_char --context_len 16 "
                            "--max_iters 1 --default-freeze --unfreeze head.*");
  EXPECT_THAT(said.out, HasSubstr(" parameters stay as they are"));
  const Outcome none = lmplay(base + " --run-name none --default-freeze");
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("--unfreeze"));
  const Outcome unknown = lmplay(base + " --run-name none --freeze mlp.0.up.wight");
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("did you mean mlp.0.up.weight?"));
  // Thawed on the way: what was frozen goes on from where it is.
  const Outcome thawed = lmplay(
      base + " --run-name head --resume --default-freeze=False --unfreeze=", "--max_iters 14");
  EXPECT_EQ(thawed.exit_code, 0) << thawed.err;
  EXPECT_NE(tensors_of("head").at("mlp.0.up.weight"), all.at("mlp.0.up.weight"));
}

TEST_F(Notebook, ThePapingoRun) {
  const Outcome o = type(
      "train papingo --dataset=shakespeare_char --device=cpu --compile=False --eval_interval=200 "
      "--eval_iters=20 --log_interval=10 --batch_size=12 --block_size=128 --n_layer=4 --n_head=4 "
      "--n_embd=128 --max_iters=2000 --confidence_threshold=0.9 --confidence_mode=max "
      "--layer_supervision=all --detach_between_layers=False --layer_widths=None --gate_mode=none "
      "--layer_contexts=None --max_iters=20 --eval_interval=10 --eval_iters=1 --run_name=papingo");
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("compile has no effect"));
  EXPECT_THAT(o.out, HasSubstr("exit_rate ["));
  const Outcome table = type(
      "trace papingo --ckpt last --num_chars 300 --sentences 2 --start_idx 0 "
      "--format=markdown");
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("| L3 |"));
  for (const char* option :
       {"--layer_widths=[64,128,128,128]", "--gate_mode=learned", "--layer_contexts=[8,16,32,64]",
        "--detach_between_layers=True", "--layer_supervision=skip_easy", "--confidence_mode=gold"})
    EXPECT_EQ(type(std::string("train papingo --dataset=shakespeare_char --block_size=64 "
                               "--max_iters=1 --eval_iters=1 --force --run_name=option ") +
                   option)
                  .exit_code,
              0)
        << option;
}

TEST_F(Notebook, NanoGptsSample) {
  const Outcome o = type(
      "train gpt2 config/train_shakespeare_char.py --device=cpu --compile=False --eval_iters=20 "
      "--log_interval=1 --block_size=64 --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 "
      "--max_iters=2000 --lr_decay_iters=2000 --dropout=0.0 --max_iters=3 --eval_iters=1 "
      "--warmup_iters=1 --out_dir=out-shakespeare-char");
  EXPECT_EQ(o.exit_code, 0) << o.err;
  const Outcome sample = type(
      "generate out-shakespeare-char --device=cpu --num_samples=2 "
      "--max_new_tokens=20 --top_k=200 --compile=False");
  EXPECT_EQ(sample.exit_code, 0) << sample.err;
  EXPECT_THAT(sample.err + sample.out, HasSubstr("compile has no effect"));
}

}  // namespace
}  // namespace fathom::testing
