// How a resume is planned, and refused, before a tensor is made.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/cli_testing.h"
#include "cli/saved_run.h"
#include "fathom/cli/train/request.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/schedule.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::Outcome;
using testing::refusal_of;
using testing::save_state;
using testing::saved_state;
using testing::Words;

constexpr char kResumedPreset[] = "gpt2ish_shakespeare_cpu";

class ResumePlanTest : public testing::CliTest {
 protected:
  static std::optional<TrainRequest> parse(Words words) {
    words.insert(words.begin(), {kResumedPreset, "--run_name=old"});
    return parse_train(words);
  }
  static TrainRequest resume(Words words = {}) {
    words.push_back("--resume");
    return parse(words).value();
  }
  std::string refusal(Words words) const {
    words.insert(words.begin(), {"train", kResumedPreset, "--run_name=old"});
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 2) << o.err;
    return o.err;
  }
  static RunState state(int64_t step = 120) { return saved_state(kResumedPreset, "rain", step); }
};

TEST_F(ResumePlanTest, GoesOnWithTheRunsOwnSettings) {
  RunState s = state();
  s.config.optimizer.learning_rate = 0.0123;
  s.config.training.seed = 77;
  s.vocab_size = 40;
  const std::string folder = save_state("old", "last", s);
  const TrainRequest r = resume();
  ASSERT_TRUE(r.resume);
  EXPECT_EQ(r.resume->checkpoint, folder);
  EXPECT_EQ(r.resume->state.step, 120);
  EXPECT_EQ(r.config.optimizer.learning_rate, 0.0123);
  EXPECT_EQ(r.config.training.seed, 77);
  EXPECT_EQ(r.config.data.dataset, "rain");
  EXPECT_EQ(r.vocab_size, 40);
  EXPECT_EQ(r.options.run_name, "old");
  EXPECT_FALSE(r.resume->new_data);
  EXPECT_THAT(r.resume->lines, IsEmpty()) << "nothing was changed";
}

TEST_F(ResumePlanTest, TakesTheNewestCompleteCheckpoint) {
  save_state("old", "step-000000100", state(100));
  const std::string last = save_state("old", "last", state(120));
  EXPECT_EQ(resume().resume->state.step, 120);
  std::filesystem::resize_file(last + "/state.json", 30);
  const TrainRequest r = resume();
  EXPECT_EQ(r.resume->state.step, 100);
  EXPECT_THAT(r.resume->lines, ElementsAre(HasSubstr("last is damaged")));
}

TEST_F(ResumePlanTest, ArchitectureStaysAndBehaviourMayChange) {
  save_state("old", "last", state());
  const TrainRequest r = resume({"--n_layer=9", "--learning_rate=0.5", "--dropout=0.25",
                                 "--max_iters=5000", "--num_heads=2"});
  EXPECT_EQ(r.config.model.backbone.n_layer, 4);
  EXPECT_EQ(r.config.model.backbone.n_head, 4);
  EXPECT_EQ(r.config.optimizer.learning_rate, 0.5);
  EXPECT_EQ(r.config.model.backbone.dropout, 0.25);
  EXPECT_EQ(r.config.training.max_iters, 5000);
  EXPECT_EQ(r.resume->state.config.training.max_iters, 5000);
  EXPECT_THAT(r.resume->lines,
              ElementsAre("n_layer = 4 stays: 9 is for a new run",
                          "n_head = 4 stays: 2 is for a new run", "dropout = 0.25 (was 0.0)",
                          "learning_rate = 0.5 (was 0.001)", "max_iters = 5000 (was 2000)",
                          "the learning rate of the next step is 5.0e-01 in place of 1.0e-03: its "
                          "decay ends at step 5,000 in place of 2,000"));
}

TEST_F(ResumePlanTest, TheCommandThatBeganItChangesNothing) {
  const Words words = {"--dataset=rain", "--block_size=16", "--learning_rate=0.002"};
  RunState s = state();
  s.config = parse(words)->config;
  save_state("old", "last", s);
  Words again = words;
  EXPECT_THAT(resume(again).resume->lines, IsEmpty());
}

TEST_F(ResumePlanTest, EveryArchitectureKeyIsHeld) {
  // What decides a tensor's shape or meaning: a change must not reach the resumed model.
  save_state("old", "last", state());
  for (const char* word : {"--n_layer=1",
                           "--n_head=1",
                           "--n_embd=4",
                           "--block_size=8",
                           "--vocab_size=99",
                           "--bias=True",
                           "--head_bias=True",
                           "--tie_head=False",
                           "--norm_eps=0.1",
                           "--activation=gelu_tanh",
                           "--init=torch",
                           "--layer_tables=True",
                           "--layer_heads=True",
                           "--layer_widths=[8,8,8,128]",
                           "--gate_mode=learned",
                           "--layer_contexts=[1,1,1,1]",
                           "--wiring=r = r + A(n)*M(n)",
                           "--attn_value=sum",
                           "--mlp_hidden=2",
                           "--norm_kind=none",
                           "--share=one",
                           "--share_mlp=[0,1,0,1]",
                           "--positions=none"}) {
    const TrainRequest r = resume({word});
    ASSERT_EQ(r.resume->lines.size(), 1U) << word;
    EXPECT_THAT(r.resume->lines[0], HasSubstr("stays")) << word;
    const auto table = [](const TrainRequest& request) {
      std::string text;
      for (const ParameterSpec& p : parameter_table(request.config.model, request.vocab_size)) {
        text += p.name;
        for (const int64_t n : p.shape) text += " " + std::to_string(n);
      }
      return text;
    };
    EXPECT_EQ(table(r), table(resume())) << word;
  }
}

TEST_F(ResumePlanTest, AWiringMayBeSpelledOtherwise) {
  RunState s = state();
  s.config.model.wiring.wiring = "r = r + A(n)*M(n)";
  save_state("old", "last", s);
  const TrainRequest same = resume({"--wiring=r=r + M( n ) * A(n);"});
  EXPECT_THAT(same.resume->lines, IsEmpty());
  EXPECT_EQ(same.config.model.wiring.wiring, "r = r + A(n)*M(n)") << "which names its weights";
  const TrainRequest other = resume({"--wiring=r = r + A(n)*M(n) + M(n)"});
  EXPECT_THAT(other.resume->lines, ElementsAre(HasSubstr("stays")));
  EXPECT_EQ(other.config.model.wiring.wiring, "r = r + A(n)*M(n)");
}

TEST_F(ResumePlanTest, ACheckpointMayBeChosen) {
  save_state("old", "best", state(80));
  save_state("old", "step-000000100", state(100));
  save_state("old", "last", state(120));
  EXPECT_EQ(resume({"--checkpoint=best"}).resume->state.step, 80);
  EXPECT_EQ(resume({"--checkpoint=step-000000100"}).resume->state.step, 100);
  EXPECT_EQ(resume({"--checkpoint=auto"}).resume->state.step, 120);
}

TEST_F(ResumePlanTest, AChangeOfTheMeasureIsSaid) {
  save_state("old", "last", state());
  const auto lines = [](const char* word) { return resume({word}).resume->lines; };
  for (const char* word : {"--eval_iters=7", "--seed=8", "--halt_rule=max"})
    EXPECT_THAT(lines(word), ::testing::Contains(HasSubstr("the best one is forgotten"))) << word;
  for (const char* word : {"--dropout=0.3", "--eval_interval=7"})
    EXPECT_EQ(lines(word).size(), 1U) << word;
  EXPECT_THAT(lines("--learning_rate=0.1"),
              ElementsAre(HasSubstr("learning_rate = 0.1"), HasSubstr("of the next step is")));
}

TEST_F(ResumePlanTest, NanoGptsSpellingResumes) {
  save_state("old", "last", state());
  const auto r = parse_train({kResumedPreset, "--init_from=resume", "--out_dir=out/old"});
  ASSERT_TRUE(r->resume);
  EXPECT_EQ(r->options.run_name, "old");
}

TEST_F(ResumePlanTest, OtherDataIsRefusedUnlessAccepted) {
  RunState s = state();
  s.corpus_fingerprint = "0123456789abcdef";
  save_state("old", "last", s);
  EXPECT_THAT(refusal({"--resume"}),
              AllOf(HasSubstr("rain is not the one"), HasSubstr("HINT: --accept_new_data"),
                    HasSubstr("the same text in other shards is other data too")));
  const TrainRequest r = resume({"--accept_new_data"});
  EXPECT_TRUE(r.resume->new_data);
  EXPECT_THAT(r.resume->lines, ElementsAre(HasSubstr("rain is new data")));
  place_.write("sea.txt", testing::small_text() + "0123456789 XYZ");
  EXPECT_EQ(run({"prepare", "sea.txt"}).exit_code, 0);
  RunState with_tokenizer = s;
  with_tokenizer.tokenizer =
      std::make_shared<const nlohmann::json>(Corpus::open("rain").tokenizer()->to_json());
  save_state("old", "last", with_tokenizer);
  EXPECT_THAT(refusal({"--resume", "--dataset=sea", "--accept_new_data"}),
              HasSubstr("another tokenizer than the run"));
  s.vocab_size = 10;
  save_state("old", "last", s);
  EXPECT_THAT(refusal({"--resume", "--accept_new_data"}),
              AllOf(HasSubstr("a vocabulary of 25"), HasSubstr("of 10")));
}

TEST_F(ResumePlanTest, ACompleteRunDoesNothing) {
  RunState s = state(2000);
  save_state("old", "last", s);
  EXPECT_TRUE(parse({"--resume"})) << "the last evaluation was not made yet";
  s.evaluated_step = 2000;
  save_state("old", "last", s);
  const auto before = std::filesystem::last_write_time(place_.path("runs/old"));
  const Outcome o = run({"train", kResumedPreset, "--run_name=old", "--resume"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("old is complete: 2,000 steps were made and max_iters is 2,000"));
  EXPECT_EQ(std::filesystem::last_write_time(place_.path("runs/old")), before);
  EXPECT_FALSE(std::filesystem::exists(place_.path("runs/fathom.db")));
  EXPECT_FALSE(parse({"--resume"}));
  EXPECT_TRUE(parse({"--resume", "--max_iters=2001"}));
  EXPECT_TRUE(parse({"--resume", "--eval_only"}));
  EXPECT_EQ(parse({"--resume", "--reset_history"})->resume->state.step, 0);
}

TEST_F(ResumePlanTest, WhatCannotBeResumedIsSaid) {
  EXPECT_THAT(refusal({"--resume"}), HasSubstr("no run \"old\""));
  save_state("old", "last", saved_state("quickstart", "rain", 3));
  EXPECT_THAT(refusal({"--resume"}),
              AllOf(HasSubstr("a run of quickstart"), HasSubstr("HINT: fathom train quickstart")));
  std::filesystem::remove_all(place_.path("runs/old/checkpoints/last"));
  EXPECT_THAT(refusal({"--resume"}),
              AllOf(HasSubstr("no checkpoint to go on from"), HasSubstr("--force")));
  const std::string last = save_state("old", "last", state());
  std::filesystem::resize_file(last + "/state.json", 30);
  EXPECT_THAT(refusal({"--resume"}),
              AllOf(HasSubstr("no checkpoint of runs/old can be gone on from"),
                    HasSubstr("last is damaged"), HasSubstr("HINT: bring back a copy")));
  save_state("old", "last", state());
  EXPECT_THAT(refusal({"--resume", "--checkpoint=best"}), HasSubstr("has no \"best\""));
  EXPECT_THAT(refusal({"--checkpoint=best", "--force", "--dataset=rain", "--block_size=16"}),
              HasSubstr("only with resume"));
  EXPECT_THAT(refusal({}), AllOf(HasSubstr("exists already"), HasSubstr("--resume")));
  EXPECT_THAT(refusal({"--resume", "--force"}), HasSubstr("leave out one"));
  EXPECT_THAT(refusal({"--resume", "--initial_model=old"}), HasSubstr("leave out one"));
  EXPECT_THAT(refusal({"--resume", "--initial_part=old"}), HasSubstr("resume and initial_part"));
  for (const char* key : {"accept_new_data", "reset_history"})
    EXPECT_THAT(refusal({"--force", "--dataset=rain", "--block_size=16", std::string("--") + key}),
                HasSubstr(std::string(key) + " has a meaning only with resume"));
  const Outcome o = run({"train", kResumedPreset, "--resume"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("resume needs to know the run"));
}

TEST_F(ResumePlanTest, AStateThatNobodyWroteIsRefused) {
  const std::string folder = save_state("old", "last", state());
  const auto with = [&](const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json j = to_json(state());
    change(j);
    CheckpointWriter writer(folder);
    write_file_durably(writer.path() + "/state.json", as_bytes(j.dump()));
    writer.commit();
    const Outcome o = run({"train", kResumedPreset, "--run_name=old", "--resume"});
    EXPECT_NE(o.exit_code, 0);
    return o.err;
  };
  EXPECT_THAT(with([](auto& j) { j["guards"]["losses"] = {1, "x"}; }), HasSubstr("state.json"));
  EXPECT_THAT(with([](auto& j) { j["guards"].erase("rollbacks"); }), HasSubstr("state.json"));
  EXPECT_THAT(with([](auto& j) { j["optimizer_steps"] = -1; }), HasSubstr("optimizer_steps = -1"));
  EXPECT_THAT(with([](auto& j) { j["config"]["n_layer"] = 1e9; }), HasSubstr("n_layer"));
}

TEST_F(ResumePlanTest, AnotherOptimiserBeginsAnewWhichIsSaid) {
  save_state("old", "last", state());
  const TrainRequest r = resume({"--optimizer=sgd"});
  EXPECT_EQ(r.config.optimizer.optimizer, "sgd");
  EXPECT_EQ(r.config.optimizer.weight_decay, 0);
  EXPECT_THAT(r.resume->lines,
              ElementsAre("optimizer = \"sgd\" (was \"adamw\")", "weight_decay = 0.0 (was 0.1)",
                          "the optimiser is SGD in place of AdamW: it begins anew, as with "
                          "--ignore_optimizer"));
  EXPECT_THAT(r.notices, ElementsAre(HasSubstr("weight_decay = 0")));
}

TEST_F(ResumePlanTest, GroupsOfWhatThereIsNotAreRefused) {
  save_state("old", "last", state());
  EXPECT_THAT(refusal({"--resume", "--parameter_groups=mpl.*: lr=2"}),
              AllOf(HasSubstr("names no parameter"), HasSubstr("HINT:")));
  EXPECT_THAT(refusal({"--resume", "--parameter_groups=mlp.*"}),
              AllOf(HasSubstr("has no colon"), HasSubstr("HINT:")));
}

// Of so many updates, which may be fewer than the steps.
TEST_F(ResumePlanTest, AWarmUpOfTheOptimiserCountsItsUpdates) {
  RunState s = state();
  s.config.schedule.decay_lr = false;
  s.optimizer_steps = 20;
  save_state("old", "last", s);
  EXPECT_THAT(resume({"--optimizer_warmup_steps=40"}).resume->lines,
              ElementsAre("optimizer_warmup_steps = 40 (was 0)",
                          "the learning rate of the next step is 5.5e-04 in place of 1.0e-03"));
}

// What is said of the next step is of the one that will be made.
TEST_F(ResumePlanTest, AResetBeginsTheScheduleAnew) {
  RunState s = state();
  s.config.training.max_iters = 200;
  save_state("old", "last", s);
  const Words longer = {"--max_iters=400"};
  EXPECT_THAT(resume(longer).resume->lines, Contains(HasSubstr("the learning rate of the next")));
  EXPECT_THAT(resume({"--max_iters=400", "--reset_history"}).resume->lines,
              Not(Contains(HasSubstr("the learning rate of the next"))))
      << "step 0 is in the warm-up, whose end stays";
  const auto lines = resume({"--learning_rate=2e-3", "--reset_history"}).resume->lines;
  RunConfig first = s.config;
  const double was = learning_rate_at(first, 0);
  EXPECT_THAT(lines, Contains(fmt::format("the learning rate of the next step is {:.1e} in place "
                                          "of {:.1e}",
                                          2 * was, was)));
}

TEST_F(ResumePlanTest, APathMayHaveEveryByte) {
  save_state("old", "last", state());
  const std::string far = place_.path("caf\xe9").string();
  std::filesystem::create_directories(far);
  std::filesystem::rename(place_.path("runs"), far + "/runs");
  const TrainRequest r =
      parse_train({kResumedPreset, "--run_name=" + far + "/runs/old", "--resume"}).value();
  EXPECT_EQ(r.options.run_name, "old");
  EXPECT_EQ(r.resume->checkpoint, far + "/runs/old/checkpoints/last");
  ::setenv("FATHOM_RUNS", place_.path("runs").c_str(), 1);  // which a path changes
  const Outcome o = run({"train", kResumedPreset, "--run_name=caf\xe9"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("\"caf\\xe9\" is not a name for a run"));
}

TEST_F(ResumePlanTest, AnInitialModelIsARunOrAFolder) {
  const std::string last = save_state("first", "last", state());
  const Words base = {"--dataset=rain", "--block_size=16"};
  const auto found = [&](const std::string& name) {
    Words words = base;
    words.push_back("--initial_model=" + name);
    return parse(words)->initial_checkpoint;
  };
  EXPECT_EQ(found("first"), last);
  const std::string best = save_state("first", "best", state());
  EXPECT_EQ(found("first"), best);
  EXPECT_EQ(found(last), last);
  EXPECT_THAT(refusal({"--dataset=rain", "--block_size=16", "--initial_model=none"}),
              HasSubstr("none"));
}

// Parts have their weights by number.
TEST_F(ResumePlanTest, AnInitialModelOfExchangedPartsIsRefused) {
  RunState s = state();
  set_keys(s.config, {{"wiring", "u = r*A[1](n) + A(n); r = u + M(N(u))"}});
  save_state("first", "last", s);
  const auto words = [](const std::string& wiring) {
    return Words{"--dataset=rain", "--block_size=16", "--initial_model=first",
                 "--wiring=" + wiring};
  };
  const std::string exchanged = refusal(words("u = r*A(n) + A[1](n); r = u + M(N(u))"));
  EXPECT_THAT(exchanged, AllOf(HasSubstr("its parts would have each other's weights"),
                               HasSubstr("as that run's config.toml has it")));
  EXPECT_THAT(parse(words("v = A(n) + r*A[1](n); r = M(N(v)) + v"))->notices,
              Not(Contains(HasSubstr("other blocks"))));
  EXPECT_THAT(parse(words("r = r + A(n)*M(n)"))->notices,
              Contains(HasSubstr("first was trained with other blocks")));
}

}  // namespace
}  // namespace fathom
