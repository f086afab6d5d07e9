// What `fathom train` settles before a tensor is made.
#include <set>

#include "cli/cli_testing.h"
#include "cli/saved_run.h"
#include "fathom/cli/train/request.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;
using testing::Words;

class TrainRequestTest : public testing::CliTest {
 protected:
  static TrainRequest parse(Words words) {
    words.insert(words.begin(), "gpt2ish_shakespeare_cpu");
    return *parse_train(words);
  }
};

TEST_F(TrainRequestTest, HoldsTheRunAsItWillBe) {
  const TrainRequest r = parse({"--dataset=rain", "--max_iters=500", "--run_name=mine"});
  EXPECT_EQ(r.config.preset, "gpt2ish_shakespeare_cpu");
  EXPECT_EQ(r.config.training.max_iters, 500);
  EXPECT_EQ(r.config.model.backbone.n_layer, 4);
  EXPECT_EQ(r.corpus.name(), "rain");
  const std::string text = testing::small_text();
  EXPECT_EQ(r.vocab_size, static_cast<int64_t>(std::set<char>(text.begin(), text.end()).size()));
  EXPECT_EQ(r.options.run_name, "mine");
  EXPECT_THAT(r.notices, IsEmpty());
}

TEST_F(TrainRequestTest, NothingIsLeftBehindByAsking) {
  parse({"--dataset=rain", "--run_name=mine"});
  EXPECT_FALSE(std::filesystem::exists(place_.path("runs")));
}

TEST_F(TrainRequestTest, NamesOfRuns) {
  EXPECT_THAT(parse({"--dataset=rain"}).options.run_name, StartsWith("gpt2ish_shakespeare_cpu-"));
  EXPECT_EQ(parse({"--dataset=rain", "--out_dir=out-x"}).options.run_name, "out-x");
  const TrainRequest deep = parse({"--dataset=rain", "--out_dir=out/deep/x/"});
  EXPECT_EQ(deep.options.run_name, "x");
  EXPECT_THAT(deep.notices, Contains(HasSubstr("runs/x")));
  EXPECT_EQ(parse({"--dataset=rain", "--out_dir=x", "--run_name=y"}).options.run_name, "y");
  std::filesystem::create_directories(place_.path("runs/empty"));
  EXPECT_EQ(parse({"--dataset=rain", "--run_name=empty"}).options.run_name, "empty");
}

TEST_F(TrainRequestTest, ForceTakesANameAgain) {
  std::filesystem::create_directories(place_.path("runs/old/checkpoints/last"));
  EXPECT_ANY_THROW(parse({"--dataset=rain", "--run_name=old"}));
  EXPECT_TRUE(parse({"--dataset=rain", "--run_name=old", "--force"}).options.force);
  EXPECT_TRUE(std::filesystem::exists(place_.path("runs/old/checkpoints/last")))
      << "removed too early";
}

TEST_F(TrainRequestTest, EveryDecisionIsSaid) {
  const TrainRequest r =
      parse({"--dataset=rain", "--n_embd=99", "--compile=False", "--wandb_log=True"});
  EXPECT_EQ(r.config.model.backbone.n_head, 3);
  EXPECT_THAT(r.notices, Contains(StartsWith("n_head = 3")));
  EXPECT_THAT(r.notices, Contains(StartsWith("compile has no effect")));
  EXPECT_THAT(r.notices, Contains(StartsWith("wandb_log has no effect")));
  EXPECT_EQ(r.notices.size(), 3u);
  EXPECT_THAT(
      parse({"train_shakespeare_char.py", "--dataset=rain", "--block_size=64"}).notices,
      ElementsAre(StartsWith("train_shakespeare_char.py: using the one that gpt2ish ships")));
}

// Of a new run, on the line or in a stage; a run that goes on keeps its schedule.
TEST_F(TrainRequestTest, AShorterRunThatEndsHighIsTold) {
  const auto told = HasSubstr("HINT: --lr_decay_iters=9000");
  const auto notices = [](const Words& more) {
    Words words = {"gpt2", "--dataset=rain", "--block_size=16"};
    words.insert(words.end(), more.begin(), more.end());
    return parse_train(words)->notices;
  };
  EXPECT_THAT(notices({"--max_iters=9000"}), Contains(told));
  EXPECT_THAT(run({"describe", "gpt2", "--max_iters=9000"}).out,
              HasSubstr("--lr_decay_iters=9000"));
  EXPECT_THAT(notices({"--max_iters=9000", "--lr_decay_iters=9000"}), Not(Contains(told)));
  place_.write("plan.json", R"({"short": {"dataset": "rain", "steps": 9000}})");
  EXPECT_THAT(
      notices({"--training_plan=" + place_.path("plan.json").string()}),
      Contains(AllOf(StartsWith("the stage short: "), HasSubstr("\"lr_decay_iters\": 9000"))));
  testing::save_state("old", "last", testing::saved_state("gpt2", "rain", 100));
  Words more = {"gpt2", "--run_name=old", "--max_iters=9000", "--resume"};
  EXPECT_THAT(parse_train(more)->notices, Not(Contains(HasSubstr("--lr_decay_iters"))));
  more.back() = "--force";
  more.insert(more.end(), {"--dataset=rain", "--block_size=16"});
  EXPECT_THAT(parse_train(more)->notices, Contains(HasSubstr("--lr_decay_iters=9000")));
}

// A file that sets n_head and n_embd decides both: a width that no longer fits is refused.
TEST_F(TrainRequestTest, HeadsThatAFileGaveAreNotChanged) {
  EXPECT_THAT(testing::refusal_of([] {
                parse({"train_shakespeare_char.py", "--dataset=rain", "--n_embd=100"});
              }).what(),
              HasSubstr("n_head = 6"));
}

TEST_F(TrainRequestTest, WhatActsOnAPartNeedsOne) {
  const auto said = [&](Words words) {
    words.insert(words.begin(), {"train", "dag_small_stack", "--describe", "--dag_take_tables"});
    const testing::Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.out;
  };
  EXPECT_THAT(said({}), HasSubstr("dag_take_tables = true has no effect: it needs initial_part"));
  EXPECT_THAT(said({"--initial_part=reader"}), Not(HasSubstr("has no effect")));
}

TEST_F(TrainRequestTest, HelpAsksForNothingElse) {
  ::testing::internal::CaptureStdout();
  EXPECT_FALSE(parse_train({"--help"}));
  EXPECT_FALSE(parse_train({"quickstart", "--n_layer=3", "--help"}));
  EXPECT_THAT(::testing::internal::GetCapturedStdout(), HasSubstr("fathom train"));
}

// nanoGPT's config/train_shakespeare_char.py, and its README's line for a machine without a GPU.
const char* const kNanoGptConfig = R"(# train a miniature character-level shakespeare model
# good for debugging and playing on macbooks and such

out_dir = 'out-shakespeare-char'
eval_interval = 250 # keep frequent because we'll overfit
eval_iters = 200
log_interval = 10 # don't print too too often

# we expect to overfit on this small dataset, so only save when val improves
always_save_checkpoint = False

wandb_log = False # override via command line if you like
wandb_project = 'shakespeare-char'
wandb_run_name = 'mini-gpt'

dataset = 'shakespeare_char'
gradient_accumulation_steps = 1
batch_size = 64
block_size = 256 # context of up to 256 previous characters

# baby GPT model :)
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.2

learning_rate = 1e-3 # with baby networks can afford to go a bit higher
max_iters = 5000
lr_decay_iters = 5000 # make equal to max_iters usually
min_lr = 1e-4 # learning_rate / 10 usually
beta2 = 0.99 # make a bit bigger because number of tokens per iter is small

warmup_iters = 100 # not super necessary potentially

# on macbook also add
# device = 'cpu'  # run on cpu only
# compile = False # do not torch compile the model
)";

TEST_F(TrainRequestTest, NanoGptsReadmeLine) {
  ASSERT_EQ(run({"prepare", "rain.txt", "--name=shakespeare_char"}).exit_code, 0);
  place_.write("train_shakespeare_char.py", kNanoGptConfig);
  const std::string own_file = place_.path("train_shakespeare_char.py");
  for (const std::string& file : {own_file, std::string("config/train_shakespeare_char.py")}) {
    SCOPED_TRACE(file);
    const TrainRequest r = *parse_train(
        {"gpt2ish", file, "--device=cpu", "--compile=False", "--eval_iters=20", "--log_interval=1",
         "--block_size=64", "--batch_size=12", "--n_layer=4", "--n_head=4", "--n_embd=128",
         "--max_iters=2000", "--lr_decay_iters=2000", "--dropout=0.0", "--mini_batch_size=None"});
    const RunConfig& c = r.config;
    EXPECT_EQ(c.model.backbone.n_layer, 4);
    EXPECT_EQ(c.model.backbone.n_head, 4);
    EXPECT_EQ(c.model.backbone.n_embd, 128);
    EXPECT_EQ(c.model.backbone.dropout, 0);
    EXPECT_EQ(c.tokens_per_step(), 12 * 64);
    EXPECT_EQ(c.micro_batch_size(), 12);
    EXPECT_EQ(c.training.max_iters, 2000);
    EXPECT_EQ(c.training.eval_interval, 250) << "from the file";
    EXPECT_EQ(c.training.eval_iters, 20) << "the flag, not the file's 200";
    EXPECT_EQ(c.training.device, "cpu");
    EXPECT_EQ(c.optimizer.beta2, 0.99);
    EXPECT_EQ(c.schedule.lr_decay_iters, 2000);
    EXPECT_EQ(r.corpus.name(), "shakespeare_char");
    EXPECT_THAT(r.notices, Contains(StartsWith("compile has no effect")));
  }
  EXPECT_EQ(parse_train({"gpt2ish", own_file, "--mini_batch_size=None", "--block_size=64"})
                ->options.run_name,
            "out-shakespeare-char");
}

// The early-exit notebook's example, with `python train.py` replaced by `fathom train papingo`.
TEST_F(TrainRequestTest, TheEarlyExitNotebooksExample) {
  ASSERT_EQ(run({"prepare", "rain.txt", "--name=shakespeare_char"}).exit_code, 0);
  const TrainRequest r = *parse_train({"papingo",
                                       "--dataset=shakespeare_char",
                                       "--device=cpu",
                                       "--compile=False",
                                       "--eval_iters=20",
                                       "--log_interval=1",
                                       "--block_size=64",
                                       "--batch_size=12",
                                       "--n_layer=4",
                                       "--n_head=4",
                                       "--n_embd=128",
                                       "--max_iters=2000",
                                       "--lr_decay_iters=2000",
                                       "--dropout=0.0",
                                       "--detach_between_layers=False",
                                       "--layer_widths=None",
                                       "--gate_mode=none",
                                       "--layer_contexts=None",
                                       "--confidence_threshold=0.9",
                                       "--confidence_mode=max",
                                       "--layer_supervision=all",
                                       "--out_dir=out-papingo",
                                       "--wandb_log=False",
                                       "--init_from=scratch",
                                       "--always_save_checkpoint=False"});
  const ModelConfig& m = r.config.model;
  EXPECT_EQ(m.backbone.n_layer, 4);
  EXPECT_EQ(m.backbone.n_embd, 128);
  EXPECT_FALSE(m.backbone.tie_head);
  EXPECT_TRUE(m.early_exit.layer_tables && m.early_exit.layer_heads);
  EXPECT_FALSE(m.early_exit.detach_between_layers);
  EXPECT_THAT(m.early_exit.layer_widths, IsEmpty());
  EXPECT_THAT(m.early_exit.layer_contexts, IsEmpty());
  EXPECT_EQ(m.early_exit.gate_mode, GateMode::kNone);
  EXPECT_EQ(m.halting.mask_history, MaskHistory::kPrevious) << "as the numbers were made";
  EXPECT_EQ(m.halting.rule, HaltRule::kMax);
  EXPECT_EQ(m.halting.threshold, 0.9);
  EXPECT_EQ(m.supervision.layer_supervision.choice, "all");
  EXPECT_EQ(r.config.training.max_iters, 2000);
  EXPECT_EQ(r.config.tokens_per_step(), 12 * 64);
  EXPECT_EQ(r.corpus.name(), "shakespeare_char");
  EXPECT_EQ(r.options.run_name, "out-papingo");
  EXPECT_THAT(r.notices, UnorderedElementsAre(StartsWith("compile has no effect"),
                                              StartsWith("wandb_log has no effect"),
                                              StartsWith("always_save_checkpoint has no effect")));
}

// Its other settings, as they are typed.
TEST_F(TrainRequestTest, EarlyExitSettingsAsTyped) {
  const ModelConfig m =
      parse_train({"papingo", "--dataset=rain", "--layer-widths=[64, 96, 96, 128]", "--gate-mode",
                   "learned", "--layer_contexts", "[4,8,16,64]",
                   "--confidence_thresholds=[0.5,0.6,0.7,0.8]", "--confidence_mode=gold",
                   "--mask_self=False", "--mask_history=cumulative",
                   "--layer_supervision=[1,0,0.5,2]", "--supervision_reduce=sum",
                   "--confidence_temperature=1.5", "--skip_easy_weight=token"})
          ->config.model;
  EXPECT_THAT(m.early_exit.layer_widths, ElementsAre(64, 96, 96, 128));
  EXPECT_THAT(m.early_exit.layer_contexts, ElementsAre(4, 8, 16, 64));
  EXPECT_EQ(m.early_exit.gate_mode, GateMode::kLearned);
  EXPECT_EQ(m.halting.mask_self, false);
  EXPECT_EQ(m.halting.mask_history, MaskHistory::kCumulative);
  EXPECT_EQ(m.halting.rule, HaltRule::kGold);
  EXPECT_THAT(m.halting.thresholds, ElementsAre(0.5, 0.6, 0.7, 0.8));
  EXPECT_EQ(m.halting.temperature, 1.5);
  EXPECT_THAT(m.supervision.layer_supervision.list, ElementsAre(1, 0, 0.5, 2));
  EXPECT_EQ(m.supervision.reduce, SupervisionReduce::kSum);
  EXPECT_EQ(m.supervision.skip_easy_weight, SkipEasyWeight::kToken);
}

}  // namespace
}  // namespace fathom
