// From text to a sample through the programs, and the ways it can go wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "e2e/small_run.h"
#include "fathom/track/run_store.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

// One prepared corpus and one tiny trained run, shared by the tests that only read them.
class TrainTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new SmallRuns;
    ASSERT_EQ(train({"--run_name=shared"}).exit_code, 0);
  }
  static void TearDownTestSuite() { delete place_; }

  static Outcome run(const Words& words) { return place_->run(words); }
  static Outcome train(const Words& more) { return place_->train(more); }
  // Exit code, one sentence, and a hint that names what to do.
  static void expect_refusal(const Outcome& o, int exit_code, const std::string& said,
                             const std::string& hint) {
    EXPECT_EQ(o.exit_code, exit_code) << o.err;
    EXPECT_THAT(o.err, HasSubstr("fathom: "));
    EXPECT_THAT(o.err, HasSubstr(said));
    EXPECT_THAT(o.err.substr(std::min(o.err.size(), o.err.find("HINT:"))), HasSubstr(hint));
  }

  static SmallRuns* place_;
};
SmallRuns* TrainTest::place_ = nullptr;

TEST_F(TrainTest, ARunHoldsItsConfigAndCheckpointsAndLearns) {
  const auto folder = place_->path("runs/shared");
  EXPECT_THAT(slurp(folder / "config.toml"), HasSubstr("n_embd = 32"));
  for (const char* name : {"last", "best"})
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
      EXPECT_TRUE(std::filesystem::exists(folder / "checkpoints" / name / file)) << name << file;
  const auto result = nlohmann::json::parse(run({"eval", "shared", "--json"}).out);
  EXPECT_LT(result["loss"].get<double>(), 2.5);  // ln(25) = 3.2 before training
  EXPECT_GT(result["targets"].get<double>(), 100);
}

TEST_F(TrainTest, ItsNumbersAreInTheStoreAndInTensorBoardsFiles) {
  const Outcome csv = run({"export", "shared", "--metrics=csv"});
  ASSERT_EQ(csv.exit_code, 0) << csv.err;
  const std::string header = csv.out.substr(0, csv.out.find('\n'));
  for (const char* metric : {"train/loss", "eval/val/loss", "process/cpu_share",
                             "process/rss_bytes", "process/peak_rss_bytes"})
    EXPECT_THAT(header, HasSubstr(metric));
  std::string events;
  for (const auto& entry :
       std::filesystem::directory_iterator(place_->path("runs/shared/tensorboard")))
    events += slurp(entry.path());
  for (const char* metric : {"brain.Event:2", "train/loss", "eval/val/loss", "process/rss_bytes"})
    EXPECT_THAT(events, HasSubstr(metric));
}

TEST_F(TrainTest, TheConfigFileOfARunMakesTheSameRunAgain) {
  ASSERT_EQ(run({"train", "gpt2ish_shakespeare_cpu", "runs/shared/config.toml", "--run_name=again"})
                .exit_code,
            0);
  const std::string a = slurp(place_->path("runs/shared/checkpoints/last/model.safetensors"));
  EXPECT_EQ(a, slurp(place_->path("runs/again/checkpoints/last/model.safetensors")));
  EXPECT_GT(a.size(), 1000u);
}

// As nanoGPT's data/shakespeare_char/prepare.py leaves it: ids of two bytes, the first nine tenths
// for training, and Python's pickle of the vocabulary (its protocol 2).
void write_as_nanogpt(const SmallRuns& place, const std::string& text) {
  std::string characters;
  for (int c = 1; c < 128; ++c)
    if (text.find(char(c)) != text.npos) characters += char(c);
  const auto pickled = [](const std::string& word) {
    return std::string("X") + char(word.size()) + std::string(3, '\0') + word;
  };
  const auto number = [](size_t n) { return std::string("K") + char(n); };
  std::string itos = "}(", stoi = "}(";
  for (size_t i = 0; i < characters.size(); ++i) {
    itos += number(i) + pickled(std::string(1, characters[i]));
    stoi += pickled(std::string(1, characters[i])) + number(i);
  }
  std::filesystem::create_directories(place.path("theirs"));
  place.write("theirs/meta.pkl", "\x80\x02}(" + pickled("vocab_size") + number(characters.size()) +
                                     pickled("itos") + itos + "u" + pickled("stoi") + stoi + "uu.");
  std::string ids;
  for (const char c : text) ids += {char(characters.find(c)), '\0'};
  const size_t cut = text.size() * 9 / 10 * 2;
  place.write("theirs/train.bin", ids.substr(0, cut));
  place.write("theirs/val.bin", ids.substr(cut));
}

TEST_F(TrainTest, NanoGptsFolderTrainsToTheSameBytes) {
  write_as_nanogpt(*place_, small_text());
  const Outcome o = train({"--dataset=theirs", "--run_name=theirs"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("meta.pkl (vocabulary 25)"));
  EXPECT_EQ(slurp(place_->path("runs/theirs/checkpoints/last/model.safetensors")),
            slurp(place_->path("runs/shared/checkpoints/last/model.safetensors")));
  EXPECT_EQ(run({"generate", "theirs", "--start=the "}).out,
            run({"generate", "shared", "--start=the "}).out);
}

TEST_F(TrainTest, ProgressIsPlainLinesInALog) {
  const Outcome o = train({"--run_name=lines", "--log_interval=20"});
  EXPECT_THAT(o.out, HasSubstr("step 40/60"));
  EXPECT_THAT(o.out, Not(HasSubstr("step 30/60")));
  EXPECT_THAT(o.out, HasSubstr("tok/s"));
  EXPECT_THAT(o.out, HasSubstr("step 30: train loss"));
  EXPECT_THAT(o.out, Not(HasSubstr("\033")));
  EXPECT_THAT(o.out, Not(HasSubstr("layer_loss"))) << "a plain model has one reading";
  Words words = SmallRuns::train_words({"--run_name=few", "--max_iters=100"});
  words.erase(std::find(words.begin(), words.end(), "--log_interval=1"));
  const std::string few = run(words).out;
  size_t lines = 0;
  for (size_t at = few.find("/100 "); at != few.npos; at = few.find("/100 ", at + 1)) ++lines;
  EXPECT_GE(lines, 20U);
  EXPECT_LE(lines, 25U) << few;  // more only where a step takes minutes
  EXPECT_THAT(few, HasSubstr("step 100/100 "));
  const Outcome quiet = train({"--run_name=quiet", "--quiet", "--log_interval=25"});
  EXPECT_THAT(quiet.out, Not(HasSubstr("tok/s")));
  EXPECT_THAT(quiet.out, HasSubstr("val loss"));
  const RunStore store(place_->path("runs/fathom.db"), {/*read_only=*/true});
  EXPECT_EQ(store.last_point("quiet", "train/loss")->step, 60) << "the last one, whatever is due";
}

TEST_F(TrainTest, ARunIsNeverOverwrittenUnlessForced) {
  expect_refusal(train({"--run_name=shared"}), 2, "shared exists", "--force");
  ASSERT_EQ(train({"--run_name=twice", "--max_iters=1"}).exit_code, 0);
  EXPECT_EQ(train({"--run_name=twice", "--max_iters=2", "--force"}).exit_code, 0);
  const auto state = slurp(place_->path("runs/twice/checkpoints/last/state.json"));
  EXPECT_EQ(nlohmann::json::parse(state)["step"], 2);
}

TEST_F(TrainTest, OutDirIsTheRunNameInNanoGptsSpelling) {
  ASSERT_EQ(train({"--out_dir=out/rain", "--max_iters=1"}).exit_code, 0);
  EXPECT_TRUE(std::filesystem::exists(place_->path("runs/rain/config.toml")));
}

TEST_F(TrainTest, ARunWhoseFolderWasRemovedLeavesNothingBehind) {
  ASSERT_EQ(train({"--run_name=gone", "--max_iters=1"}).exit_code, 0);
  std::filesystem::remove_all(place_->path("runs/gone"));
  EXPECT_EQ(train({"--run_name=gone", "--max_iters=1"}).exit_code, 0);
}

TEST_F(TrainTest, TokensOutsideTheVocabularyAreFoundWithoutAMeta) {
  std::filesystem::create_directories(place_->path("data/bare"));
  for (const char* split : {"train.bin", "val.bin"}) {
    std::string tokens;
    for (int i = 0; i < 2000; ++i) tokens += std::string{static_cast<char>(i % 50), '\0'};
    place_->write(std::string("data/bare/") + split, tokens);
  }
  expect_refusal(train({"--dataset=bare", "--vocab_size=40", "--run_name=bare1"}), 1,
                 "outside the vocabulary of 40", "--vocab_size");
  const Outcome o =
      train({"--dataset=bare", "--vocab_size=50", "--run_name=bare2", "--max_iters=1"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  std::filesystem::remove(place_->path("data/bare/val.bin"));
  expect_refusal(train({"--dataset=bare", "--vocab_size=50"}), 1, "no split \"val\"",
                 "a split is made of files named val.bin");
}

TEST_F(TrainTest, TheDefaultNameIsPresetAndTime) {
  const Outcome o = train({"--max_iters=1"});
  EXPECT_THAT(o.out, HasSubstr("gpt2ish_shakespeare_cpu-20"));
}

TEST_F(TrainTest, EvaluationOptionsAct) {
  const auto json = [&](Words words) {
    words.insert(words.begin(), {"eval", "shared", "--json"});
    return nlohmann::json::parse(run(words).out);
  };
  const auto base = json({});
  EXPECT_GT(json({"--split=train"})["targets"].get<double>(), base["targets"].get<double>());
  EXPECT_EQ(json({"--max_batches=1", "--batch_size=2"})["targets"], 32);
  EXPECT_EQ(json({"--checkpoint=last"})["checkpoint"].get<std::string>().substr(0, 11),
            "runs/shared");
  EXPECT_THAT(json({"--checkpoint=last"})["checkpoint"].get<std::string>(), HasSubstr("last"));
  const auto val = nlohmann::json::parse(slurp(place_->path("data/rain/meta.json")));
  EXPECT_EQ(base["targets"], val["splits"]["val"][0]["tokens"].get<int64_t>() - 1);
  EXPECT_NEAR(json({"--batch_size=1"})["loss"].get<double>(), base["loss"].get<double>(), 1e-5);
  EXPECT_NEAR(base["bits_per_byte"].get<double>(), base["loss"].get<double>() / 0.693147, 1e-4);
  EXPECT_EQ(json({"--threads=2"})["targets"], base["targets"]);
  EXPECT_EQ(base["metrics"]["accuracy"], base["accuracy"]);
  EXPECT_FALSE(base.contains("objective")) << "it is the loss";
  const std::string text = run({"eval", "shared"}).out;
  EXPECT_THAT(text, HasSubstr("perplexity"));
  EXPECT_THAT(text, Not(HasSubstr("layer"))) << "a plain model has one reading";
}

TEST_F(TrainTest, AnotherCorpusMustHaveTheSameTokenizer) {
  place_->write("sea.txt", small_text() + "0123456789 XYZ " + small_text());
  ASSERT_EQ(run({"prepare", "sea.txt"}).exit_code, 0);
  expect_refusal(run({"eval", "shared", "--dataset=sea"}), 2, "vocabulary", "same tokenizer");
  std::filesystem::copy(place_->path("data/rain"), place_->path("data/copy"));
  EXPECT_EQ(run({"eval", "shared", "--dataset=copy"}).exit_code, 0);
}

TEST_F(TrainTest, GenerationOptionsAct) {
  const auto text = [&](Words words) {
    words.insert(words.begin(), {"generate", "shared", "--max_new_tokens=30"});
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.out;
  };
  const std::string base = text({"--start=the "});
  EXPECT_EQ(base.substr(0, 4), "the ");
  EXPECT_EQ(base.size(), 4 + 30 + 1u);
  EXPECT_EQ(base, text({"--start=the "}));
  EXPECT_NE(base, text({"--start=the ", "--seed=7"}));
  EXPECT_NE(base, text({"--start=the ", "--temperature=5"}));
  EXPECT_EQ(text({"--start=the ", "--top_k=1"}), text({"--start=the ", "--top_k=1", "--seed=7"}));
  EXPECT_EQ(text({"--max_new_tokens=5", "--start=the "}).size(), 4 + 5 + 1u);
  EXPECT_THAT(text({"--num_samples=2"}), HasSubstr("\n---------------\n"));
  place_->write("start.txt", "the rain");
  EXPECT_EQ(text({"--start=FILE:start.txt"}).substr(0, 8), "the rain");
  EXPECT_EQ(text({"--start=\\nthe"}).substr(0, 4), "\nthe");
}

TEST_F(TrainTest, EndingsAreChosenAndLayersShown) {
  place_->write("asked.jsonl",
                R"({"ctx": "the rain falls on", "endings": ["hill 3", "nnnn"], "label": 0})"
                "\n"
                R"({"ctx": "and the", "endings": ["rrrrr", "river rises", "ll"], "label": 1})"
                "\n");
  const Words asked = {"eval", "shared", "--hellaswag=asked.jsonl", "--json"};
  const auto e = nlohmann::json::parse(run(asked).out);
  EXPECT_EQ(e["questions"], 2);
  double right = 0;
  for (const auto& score : e["scores"]) right += score["chosen"] == score["label"];
  EXPECT_EQ(e["accuracy"]["value"], right / 2);
  EXPECT_LT(e["nats_per_token"].get<double>(), 3.5);
  EXPECT_EQ(e["scores"][1]["tokens"], nlohmann::json({6, 12, 3}));
  EXPECT_EQ(e["scores"][0]["cut"], 7) << "17 and 6 tokens are seen, in a block of 16";
  EXPECT_EQ(e["contexts_cut"], 2);
  place_->write("bad.jsonl", "{\"ctx\": \"a\", \"endings\": [\"b\", \"c\"], \"label\": 2}\n");
  expect_refusal(run({"eval", "shared", "--hellaswag=bad.jsonl"}), 1,
                 "bad.jsonl, line 1 has label = 2, of its 2 endings one is 0 to 1", "validation");

  const Words grow = {"generate",           "shared",
                      "--start=the rain",   "--do_sample=False",
                      "--max_new_tokens=5", "--show_layers=2"};
  const Outcome o = run(grow);
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("token 2"));
  EXPECT_THAT(o.out, Not(HasSubstr("token 3")));
  Words as_json = grow;
  as_json.emplace_back("--json");
  const auto shown = nlohmann::json::parse(run(as_json).out);
  ASSERT_EQ(shown["layers"].size(), 2u);
  const auto& layers = shown["layers"][0]["layers"];
  ASSERT_EQ(layers.size(), 3u) << "two, and the scores again";
  EXPECT_EQ(shown["texts"][0].get<std::string>()[8],
            layers[2]["guesses"][7]["text"].get<std::string>()[0])
      << "the likeliest token is what was taken";
}

TEST_F(TrainTest, WhatCannotBeGeneratedIsSaid) {
  expect_refusal(run({"generate", "shared", "--start=Ω"}), 1, "Ω", "");
  expect_refusal(run({"generate", "shared", "--start="}), 2, "start is empty", "line break");
  for (const char* word : {"--temperature=-1", "--top_k=0", "--top_p=0", "--top_p=1.1", "--min_p=2",
                           "--repetition_penalty=0", "--repetition_penalty=-1", "--window=-1"}) {
    const std::string key = std::string(word).substr(2, std::string(word).find('=') - 2);
    expect_refusal(run({"generate", "shared", word}), 2, key, "");
  }
  expect_refusal(run({"generate", "shared", "--threshold=0.5"}), 2, "threshold", "halt_rule");
  expect_refusal(run({"generate", "shraed"}), 2, "shraed", "shared");
  expect_refusal(run({"generate", "shared", "--checkpoint=third"}), 2, "third", "checkpoints");
}

TEST_F(TrainTest, DamagedShardsAndCheckpointsAreFound) {
  std::filesystem::copy(place_->path("data/rain"), place_->path("data/torn"));
  std::filesystem::resize_file(place_->path("data/torn/train.bin"), 1500);
  expect_refusal(train({"--dataset=torn"}), 1, "train.bin", "fathom prepare");
  std::filesystem::remove(place_->path("data/torn/val.bin"));
  expect_refusal(train({"--dataset=torn"}), 1, ".bin", "fathom prepare");

  ASSERT_EQ(train({"--run_name=bent", "--max_iters=1"}).exit_code, 0);
  const auto model = place_->path("runs/bent/checkpoints/best/model.safetensors");
  std::filesystem::resize_file(model, std::filesystem::file_size(model) - 4);
  expect_refusal(run({"generate", "bent"}), 1, "model.safetensors", "");
  std::filesystem::resize_file(place_->path("runs/bent/checkpoints/last/state.json"), 100);
  expect_refusal(run({"eval", "bent", "--checkpoint=last"}), 1, "state.json has 100 bytes",
                 "another checkpoint");
}

TEST_F(TrainTest, WhatCannotBeTrainedIsSaidBeforeAnythingIsMade) {
  expect_refusal(train({"--block_size=5000", "--run_name=never"}), 1, "5000", "block_size");
  expect_refusal(train({"--vocab_size=5", "--run_name=never"}), 2, "vocab_size = 5", "");
  expect_refusal(train({"--device=cuda", "--run_name=never"}), 2, "device = cuda", "Torch_DIR");
  expect_refusal(train({"--dtype=float16", "--run_name=never"}), 2, "float16", "bfloat16");
  expect_refusal(train({"--device=gpu", "--run_name=never"}), 2, "device = gpu", "");
  EXPECT_FALSE(std::filesystem::exists(place_->path("runs/never")));
}

TEST_F(TrainTest, AFailedRunKeepsItsLastCheckpointAndSaysSo) {
  const Outcome o = train({"--run_name=wild", "--learning_rate=1e30", "--grad_clip=0",
                           "--eval_interval=1", "--warmup_iters=0"});
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, HasSubstr("not finite"));
  // Saved before the evaluation that followed step 1, so it is there and can be read.
  EXPECT_TRUE(std::filesystem::exists(place_->path("runs/wild/checkpoints/last/state.json")));
}

}  // namespace
}  // namespace fathom::testing
