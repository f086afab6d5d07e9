// Models that loop and look ahead, through the programs: trained, resumed, evaluated at other
// counts and asked; and what is refused before anything begins.
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "e2e/small_run.h"
#include "fathom/track/run_store.h"
#include "fathom/track/sqlite.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;

class LoopedProgram : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { place_ = new SmallRuns; }
  static void TearDownTestSuite() { delete place_; }

  // 3 layers, 16 wide, 12 steps.
  static Outcome train(const std::string& preset, const Words& more) {
    Words words = {"train",
                   preset,
                   "--dataset=rain",
                   "--n_head=2",
                   "--n_embd=16",
                   "--block_size=16",
                   "--batch_size=4",
                   "--max_iters=12",
                   "--eval_iters=2",
                   "--eval_interval=6",
                   "--decay_lr=False",
                   "--lr=0.003",
                   "--threads=1"};
    words.insert(words.end(), more.begin(), more.end());
    return place_->run(words);
  }
  // The last value of a series.
  static double last_of(const std::string& run, const std::string& series) {
    std::istringstream lines(place_->run({"export", run, "--metrics=jsonl"}).out);
    double value = NAN;
    for (std::string line; std::getline(lines, line);) {
      const auto row = nlohmann::json::parse(line);
      if (row.contains(series)) value = row[series];
    }
    return value;
  }
  static std::string generated(const std::string& run, const Words& more) {
    Words words = {"generate", run, "--max_new_tokens=30", "--start=the ", "--do_sample=False"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = place_->run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.out;
  }
  static int64_t parameters_of(const Words& more) {
    Words words = {"describe", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = place_->run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return nlohmann::json::parse(o.out)["parameters"];
  }

  static SmallRuns* place_;
};
SmallRuns* LoopedProgram::place_ = nullptr;

TEST_F(LoopedProgram, IsEvaluatedAtOtherCountsAndGenerates) {
  const Outcome o = train("looped_tiny", {"--run_name=loops", "--enable_auto_exit_eval",
                                          "--evaluations=train; val; once: max_loops=1; often: "
                                          "max_loops=12; by_group: loop_counts=[4]"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  const double val = last_of("loops", "eval/val/loss");
  EXPECT_TRUE(std::isfinite(val));
  EXPECT_EQ(last_of("loops", "eval/by_group/loss"), val) << "4 is the mean of 1 to 7";
  for (const char* other : {"once", "often"}) {
    const double loss = last_of("loops", std::string("eval/") + other + "/loss");
    EXPECT_TRUE(std::isfinite(loss)) << other;
    EXPECT_NE(loss, val) << other;
  }
  EXPECT_TRUE(std::isfinite(last_of("loops", "eval/auto_exit/loss")));
  const Outcome depths = place_->run({"eval", "loops", "--loops=1,4,12"});
  EXPECT_EQ(depths.exit_code, 0) << depths.err;
  // Past the window's end, and the same again.
  const std::string text = generated("loops", {});
  EXPECT_EQ(text.size(), 4 + 30 + 1U);
  EXPECT_EQ(text, generated("loops", {"--num_samples=1"}));
}

// Sampled counts included: the steps after the resume draw what they would have drawn.
TEST_F(LoopedProgram, AResumedRunEndsAsTheWholeOne) {
  const Words counts = {"--loop_sampling_strategy=log_poisson", "--loop_noise_scale=1",
                        "--loop_sampling_unit=sequence"};
  const auto run = [&](const char* name, const char* steps, const char* resume) {
    Words words = counts;
    words.insert(words.end(), {std::string("--run_name=") + name, steps, resume});
    const Outcome o = train("looped_tiny", words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
  };
  run("whole", "--max_iters=12", "--resume=False");
  run("parts", "--max_iters=6", "--resume=False");
  run("parts", "--max_iters=12", "--resume");
  for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
    const std::string whole = slurp(place_->checkpoint("whole", "last") + "/" + file);
    EXPECT_FALSE(whole.empty());
    EXPECT_TRUE(whole == slurp(place_->checkpoint("parts", "last") + "/" + file)) << file;
  }
}

// Series of loop groups are called by layers; those of a run that an older program began keep the
// numbers that they have, before the resume and after it.
TEST_F(LoopedProgram, ARunThatNumbersItsGroupsGoesOnToDoSo) {
  const auto run = [&](const char* name, const char* steps, const char* more) {
    const Outcome o = train("looped_tiny", {std::string("--run_name=") + name, steps,
                                            "--log_interval=1", "--enable_auto_exit_eval", more});
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.out;
  };
  const auto csv_of = [&](const char* name) {
    const Outcome o = place_->run({"export", name, "--metrics=csv"});
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.out;
  };
  EXPECT_THAT(run("newer", "--max_iters=12", "--resume=False"), HasSubstr("loop_saved [layer 1: "));
  run("older", "--max_iters=6", "--resume=False");
  const char* series[] = {"train/loops/", "eval/auto_exit/loop_iterations/",
                          "eval/auto_exit/loop_saved/", "eval/auto_exit/loop_exits/"};
  for (const char* name : series)
    EXPECT_THAT(csv_of("older"), HasSubstr(std::string(name) + "layer_1"));
  Database(place_->path("runs/fathom.db").string(), /*read_only=*/false, 1000)
      .run(
          "UPDATE metrics SET name = replace(name, '/layer_1', '/0') WHERE run_id = "
          "(SELECT id FROM runs WHERE name = 'older')");
  run("older", "--max_iters=12", "--resume");
  const std::string csv = csv_of("older");
  for (const char* name : series) EXPECT_THAT(csv, HasSubstr(std::string(name) + "0"));
  EXPECT_THAT(csv, ::testing::Not(HasSubstr("layer_1")));
  const auto values = [&](const char* name, const char* metric) {
    std::vector<double> out;
    for (const Point& p : RunStore(place_->path("runs/fathom.db").string(), {/*read_only=*/true})
                              .series(name, metric))
      out.push_back(p.value);
    return out;
  };
  EXPECT_EQ(values("older", "train/loops/0").size(), 12U);
  EXPECT_EQ(values("older", "train/loops/0"), values("newer", "train/loops/layer_1"));
  EXPECT_EQ(values("older", "eval/auto_exit/loop_iterations/0"),
            values("newer", "eval/auto_exit/loop_iterations/layer_1"));
  for (const Words& words : {Words{"plot", "older", "--metric=train/loops/0"},
                             {"plot", "newer", "--metric=train/loops/layer_1"},
                             {"plot", "older", "newer"}}) {
    const Outcome o = place_->run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
  }
  // Begun anew, it has the names of today.
  const Outcome anew = train("looped_tiny", {"--run_name=older", "--force", "--max_iters=2"});
  EXPECT_EQ(anew.exit_code, 0) << anew.err;
  EXPECT_TRUE(std::isfinite(last_of("older", "train/loops/layer_1")));
}

TEST_F(LoopedProgram, LooksAheadToo) {
  const Outcome o = train("looped_ahead", {"--run_name=both", "--max_shift=3"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_TRUE(std::isfinite(last_of("both", "eval/val/loss")));
  const std::string text = generated("both", {});
  EXPECT_EQ(text.size(), 4 + 30 + 1U);
  EXPECT_EQ(text, generated("both", {"--draft=shift", "--draft_tokens=2"}));
}

// `python train.py` replaced by `fathom train looped`, and made short by what follows.
TEST_F(LoopedProgram, TheNotebooksLinesTrain) {
  const Words lines[] = {{"config/train_fineweb.py", "--input", "data/rain", "--compile=False",
                          "--loop_groups=[[0],[1]]", "--max_loops=3"},
                         {"config/train_fineweb.py", "--use_model_baseline=True"},
                         {"config/train_shakespeare_char.py", "--loop_groups=[[1]]",
                          "--spectral_clip_beta=1.0", "--use_muon=True"}};
  int64_t number = 0;
  for (const Words& line : lines) {
    Words words = {"train", "looped"};
    words.insert(words.end(), line.begin(), line.end());
    const std::string run = "line" + std::to_string(number++);
    for (const char* word : {"--n_layer=2", "--n_head=2", "--n_embd=16", "--block_size=16",
                             "--batch_size=2", "--max_iters=2", "--lr_decay_iters=None",
                             "--warmup_iters=1", "--eval_iters=1", "--threads=1"})
      words.emplace_back(word);
    if (number > 1) words.emplace_back("--dataset=rain");
    words.push_back("--run_name=" + run);
    const Outcome o = place_->run(words);
    EXPECT_EQ(o.exit_code, 0) << run << ": " << o.err;
    EXPECT_THAT(o.out + o.err, HasSubstr("using the one that looped ships"));
    EXPECT_TRUE(std::isfinite(last_of(run, "eval/val/loss"))) << run;
  }
}

TEST_F(LoopedProgram, TheBaselineLeavesOutWhatFilesSay) {
  place_->write("loops.py", "loop_groups = [[1], [2]]\nmax_loops = 5\npredict_ahead = True\n");
  const int64_t plain = parameters_of({"gpt2ish_shakespeare_cpu", "--n_layer=3"});
  EXPECT_EQ(parameters_of({"looped_tiny", "loops.py", "--use_model_baseline=True"}), plain);
  EXPECT_EQ(parameters_of({"looped_tiny", "--use_baseline_model"}), plain);
  EXPECT_GT(parameters_of({"looped_tiny", "loops.py", "--use_baseline_model=False"}), plain);
  const Outcome o = place_->run({"describe", "looped_tiny", "loops.py", "--use_model_baseline"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out + o.err, HasSubstr("loop_groups"));
}

TEST_F(LoopedProgram, WhatHasNoMeaningIsRefusedBeforeTheRun) {
  struct Refused {
    Words words, named;
  };
  const std::vector<Refused> cases = {
      {{"--loop_groups=[[0,1],[1]]"}, {"loop_groups"}},
      {{"--loop_groups=[[0,2]]"}, {"loop_groups"}},
      {{"--loop_groups=[[2,1]]"}, {"loop_groups"}},
      {{"--loop_groups=[[0],[]]"}, {"loop_groups"}},
      {{"--loop_groups=[[7]]"}, {"loop_groups", "n_layer"}},
      {{"--loop_groups=[1]"}, {"loop_groups"}},
      {{"--loop_groups=middle"}, {"loop_groups"}},
      {{"--max_loops=0"}, {"max_loops"}},
      {{"--loop_counts=[0]"}, {"loop_counts"}},
      {{"--loop_counts=[2,3]"}, {"loop_counts", "loop_groups"}},
      {{"--loop_halt_rule=rel_latent", "--loop_halt_threshold=-1"}, {"loop_halt_threshold"}},
      {{"--automatic_loop_exit", "--automatic_loop_exit_threshold=-0.5"}, {"loop_halt_threshold"}},
      {{"--loop_halt_rule=rel_latent", "--loop_halt_threshold=[0.1,0.2]"},
       {"loop_halt_threshold", "loop_groups"}},
      {{"--loop_noise_scale=-1"}, {"loop_noise_scale"}},
      {{"--loop_sampling_strategy=often"}, {"loop_sampling_strategy"}},
      {{"--spectral_clip_beta=-1"}, {"spectral_clip_beta"}},
      {{"--use_model_baseline=True", "--loop_groups=[[1]]"}, {"use_baseline_model", "loop_groups"}},
      {{"--use_model_baseline=True", "--predict_ahead=True"},
       {"use_baseline_model", "predict_ahead"}},
      {{"--predict_ahead=True", "--max_shift=16"}, {"max_shift", "block_size"}},
      {{"--predict_ahead=True", "--label_shift_prob=0"}, {"label_shift_prob"}},
      {{"--evaluations=val; x: loop_counts=[1,2,3]"}, {"loop_counts", "loop_groups"}},
      {{"--hierarchical_spec=[[[1],[2]]]"}, {"hierarchical_spec", "loop_groups"}},
  };
  for (const Refused& c : cases) {
    Words words = {"--run_name=never"};
    words.insert(words.end(), c.words.begin(), c.words.end());
    const Outcome o = train("looped_tiny", words);
    EXPECT_EQ(o.exit_code, 2) << c.words.back() << ": " << o.out << o.err;
    EXPECT_THAT(o.err, HasSubstr("HINT: ")) << c.words.back();
    for (const std::string& key : c.named) EXPECT_THAT(o.err, HasSubstr(key)) << c.words.back();
    EXPECT_FALSE(std::filesystem::exists(place_->path("runs/never"))) << c.words.back();
  }
}

}  // namespace
}  // namespace fathom::testing
