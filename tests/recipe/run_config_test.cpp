// A run's configuration: what keys mean together, what is refused, and that nothing is lost on the
// way through a file.
#include "fathom/train/recipe/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "fathom/config/config_file.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::refusal_of;
using testing::resolved;
using testing::Settings;

TEST(RunConfig, WritingAndReadingKeepsEveryField) {
  EXPECT_TRUE(rc::check([] {
    RunConfig from, to;
    FieldList from_list, to_list;
    add_fields(from_list, from);
    add_fields(to_list, to);
    testing::randomise(from_list);
    testing::randomise(to_list);
    const std::string toml = to_toml(from_list);
    RC_LOG() << toml;
    read_config_text(toml, "config.toml", to_list);
    for (const Field& field : from_list.all()) {
      const Value back = to_list.find(field.name())->value();
      RC_ASSERT(back == field.value());
      RC_ASSERT(back.type() == field.value().type());
    }
  }));
}

TEST(RunConfig, EveryKeyMeansOneThing) {
  RunConfig config;
  FieldList list;
  add_fields(list, config);
  std::set<std::string> seen;
  for (const Field& field : list.all()) {
    EXPECT_TRUE(seen.insert(field.name()).second) << field.name();
    for (const std::string& alias : field.aliases())
      EXPECT_TRUE(seen.insert(alias).second) << alias;
    EXPECT_FALSE(field.help().empty()) << field.name();
    EXPECT_FALSE(field.section().empty()) << field.name();
  }
  for (const ForeignKey& key : list.foreign_keys()) EXPECT_TRUE(seen.insert(key.name).second);
}

TEST(RunConfig, NotebookSpellings) {
  const auto r = resolved("gpt2ish_shakespeare", {{"num-blocks", "3"},
                                                  {"num_heads", "2"},
                                                  {"embed-dim", "64"},
                                                  {"max_len", "32"},
                                                  {"lr", "2e-3"},
                                                  {"ff_dropout", "0.3"}});
  EXPECT_EQ(r.config.model.backbone.n_layer, 3);
  EXPECT_EQ(r.config.model.backbone.n_head, 2);
  EXPECT_EQ(r.config.model.backbone.n_embd, 64);
  EXPECT_EQ(r.config.model.backbone.block_size, 32);
  EXPECT_EQ(r.config.optimizer.learning_rate, 2e-3);
  EXPECT_EQ(r.config.model.backbone.residual_dropout, 0.3);
  EXPECT_EQ(resolved("gpt2ish", {{"context_len", "77"}}).config.model.backbone.block_size, 77);
}

TEST(RunConfig, BatchSizeIsTheMicroBatchUnlessAMiniBatchIsGiven) {
  const RunConfig nanogpt =
      resolved("gpt2ish_shakespeare", {{"batch_size", "12"}, {"gradient_accumulation_steps", "5"}})
          .config;
  EXPECT_EQ(nanogpt.micro_batch_size(), 12);
  EXPECT_EQ(nanogpt.sequences_per_step(), 60);
  EXPECT_EQ(nanogpt.tokens_per_step(), 60 * 256);
  const RunConfig lmplay =
      resolved("gpt2ish_shakespeare", {{"batch_size", "50"}, {"mini_batch_size", "4"}}).config;
  EXPECT_EQ(lmplay.micro_batch_size(), 4);
  EXPECT_EQ(lmplay.sequences_per_step(), 50);
  const RunConfig small =
      resolved("gpt2ish_shakespeare", {{"batch_size", "3"}, {"mini_batch_size", "4"}}).config;
  EXPECT_EQ(small.micro_batch_size(), 3);
  EXPECT_EQ(small.sequences_per_step(), 3);
}

TEST(FittingHeads, IsTheLargestDivisorNotAboveThePresets) {
  EXPECT_EQ(fitting_heads(128, 12), 8);
  EXPECT_EQ(fitting_heads(768, 12), 12);
  EXPECT_EQ(fitting_heads(100, 12), 10);
  EXPECT_EQ(fitting_heads(97, 12), 1);
  EXPECT_EQ(fitting_heads(4, 12), 4);
  EXPECT_EQ(fitting_heads(1, 12), 1);
  EXPECT_TRUE(rc::check([] {
    const auto width = *rc::gen::inRange<int64_t>(1, 5000),
               most = *rc::gen::inRange<int64_t>(1, 100);
    const int64_t heads = fitting_heads(width, most);
    RC_ASSERT(heads >= 1 && heads <= most && width % heads == 0);
    for (int64_t more = heads + 1; more <= most; ++more) RC_ASSERT(width % more != 0);
  }));
}

TEST(Resolve, AWidthAloneTakesHeadsThatFitAndSaysSo) {
  const auto r = resolved("gpt2ish", {{"embed-dim", "128"}});
  EXPECT_EQ(r.config.model.backbone.n_head, 8);
  ASSERT_EQ(r.notices.size(), 1u);
  EXPECT_THAT(r.notices[0], AllOf(HasSubstr("n_head = 8"), HasSubstr("128"), HasSubstr("12")));
  const auto fits = resolved("gpt2ish", {{"n_embd", "240"}});
  EXPECT_EQ(fits.config.model.backbone.n_head, 12);
  EXPECT_TRUE(fits.notices.empty());
}

TEST(Resolve, NoticesOfIgnoredKeysAreKept) {
  const auto r = resolved("gpt2ish", {{"compile", "False"}, {"wandb_log", "True"}});
  ASSERT_EQ(r.notices.size(), 2u);
  EXPECT_THAT(r.notices[0], HasSubstr("compile"));
  EXPECT_THAT(r.notices[1], HasSubstr("wandb_log"));
}

TEST(Resolve, KeysOfOtherProgramsThatWouldMeanAnotherRunAreRefused) {
  for (const char* key : {"use_config", "model", "dump_config"}) {
    const Error e = refusal_of([&] { resolved("gpt2ish", {{key, "x"}}); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.what(), AllOf(HasSubstr(key), HasSubstr("is not supported")));
    EXPECT_THAT(e.hint(), HasSubstr("--"));
  }
  const Error e = refusal_of([&] { resolved("gpt2ish", {{"optimizer", "lion"}}); });
  EXPECT_THAT(e.what(), AllOf(HasSubstr("optimizer = \"lion\""), HasSubstr("adamw")));
}

// LMPlay's: AdamW's decay is its own, the others have none unless it is asked for.
TEST(Resolve, AnOptimiserThatAddsItsDecayHasNoneUnlessItIsGiven) {
  for (const char* name : {"adam", "adagrad", "sgd", "rmsprop"}) {
    const auto r = resolved("gpt2ish", {{"optimizer", name}});
    EXPECT_EQ(r.config.optimizer.weight_decay, 0) << name;
    ASSERT_EQ(r.notices.size(), 1u) << name;
    EXPECT_THAT(r.notices[0], HasSubstr("weight_decay = 0: 0.01 was decoupled"));
    EXPECT_EQ(resolved("gpt2ish", {{"optimizer", name}, {"weight_decay", "0.01"}})
                  .config.optimizer.weight_decay,
              0.01);
  }
  for (const char* name : {"adamw", "muon", "schedule_free_adamw"})
    EXPECT_EQ(resolved("gpt2ish", {{"optimizer", name}}).config.optimizer.weight_decay, 0.01);
  // A run that goes on keeps what it had, whatever is typed again.
  RunConfig config = resolved("gpt2ish", {{"optimizer", "sgd"}, {"weight_decay", "0.2"}}).config;
  FieldList list;
  add_fields(list, config);
  list.set_text("optimizer", "sgd", "--optimizer");
  EXPECT_THAT(resolve(list, config), ::testing::IsEmpty());
  EXPECT_EQ(config.optimizer.weight_decay, 0.2);
}

TEST(Resolve, ScheduleFreeSaysThatItsRateNeedNotFall) {
  EXPECT_THAT(resolved("gpt2ish_shakespeare", {{"optimizer", "schedule_free_adamw"}}).notices,
              ::testing::ElementsAre(HasSubstr("--decay_lr=False --optimizer_warmup_steps=N")));
  EXPECT_THAT(resolved("gpt2ish", {{"optimizer", "schedule_free_adamw"}}).notices,
              ::testing::IsEmpty());
}

TEST(Resolve, StepsCountWhereTheUserCountsInSteps) {
  EXPECT_EQ(resolved("gpt2ish", {}).config.training.validation_interval, 1000);
  const auto steps = resolved("gpt2ish", {{"eval_interval", "7"}});
  EXPECT_EQ(steps.config.training.validation_interval, std::nullopt);
  ASSERT_EQ(steps.notices.size(), 1u);
  EXPECT_THAT(steps.notices[0], AllOf(HasSubstr("eval_interval = 7"), HasSubstr("validation")));
  EXPECT_EQ(steps.config.training.save_interval, std::nullopt);
  EXPECT_EQ(resolved("gpt2ish", {{"eval_interval", "7"}, {"save_interval", "9"}})
                .config.training.save_interval,
            9);
  // A run's config.toml has every key, and what is typed after it wins.
  const auto after = resolved("gpt2ish", {{"validation_interval", "50"}, {"eval_interval", "7"}});
  EXPECT_EQ(after.config.training.validation_interval, std::nullopt);
  const auto both = resolved("gpt2ish", {{"eval_interval", "7"}, {"validation_interval", "50"}});
  EXPECT_EQ(both.config.training.validation_interval, 50);
  ASSERT_EQ(both.notices.size(), 1u);
  EXPECT_EQ(both.notices[0],
            "eval_interval = 7 has no effect: it needs validation_interval = None");
}

TEST(Resolve, AmpIsANarrowDtype) {
  const auto dtype = [](const Settings& settings) {
    const RunConfig c = resolved("gpt2ish", settings).config;
    EXPECT_EQ(c.training.amp, std::nullopt) << "it is a spelling, not a setting";
    return c.training.dtype;
  };
  EXPECT_EQ(dtype({{"amp", "true"}}), Precision::kBFloat16);
  EXPECT_EQ(dtype({{"amp", "true"}, {"dtype", "float32"}}), Precision::kFloat32);
  EXPECT_EQ(dtype({{"dtype", "bfloat16"}, {"amp", "false"}}), Precision::kFloat32);
  EXPECT_EQ(dtype({{"dtype", "bfloat16"}, {"amp", "None"}}), Precision::kBFloat16);
}

TEST(Resolve, TheNotebooksSwitchKeepsTheNewestCheckpoint) {
  const auto kept = [](const Settings& settings) {
    return resolved("gpt2ish", settings).config.training.keep_checkpoints;
  };
  EXPECT_EQ(kept({{"checkpoint_interval", "10"}, {"clear_previous_checkpoints", "True"}}), 1);
  EXPECT_EQ(kept({{"keep_checkpoints", "3"}, {"clear_previous_checkpoints", "False"}}),
            std::nullopt);
  EXPECT_EQ(kept({{"keep_checkpoints", "3"}, {"clear_previous_checkpoints", "0"}}), std::nullopt);
  EXPECT_EQ(kept({{"checkpoint_interval", "10"}, {"clear_previous_checkpoints", "1"}}), 1);
  EXPECT_EQ(kept({{"checkpoint_interval", "10"}, {"clear_previous_checkpoints", "4"}}), 4);
  EXPECT_EQ(kept({{"checkpoint_interval", "10"}, {"keep_checkpoints", "0"}}), 0) << "a count";
  EXPECT_THAT(
      resolved("gpt2ish", {{"clear_previous_checkpoints", "True"}}).notices,
      ::testing::ElementsAre("keep_checkpoints = 1 has no effect: it needs checkpoint_interval"));
  EXPECT_TRUE(resolved("gpt2ish", {{"clear_previous_checkpoints", "False"}}).notices.empty());
}

TEST(Evaluation, LooksAtSoManyWindows) {
  EXPECT_EQ(resolved("gpt2ish", {}).config.sequences_per_evaluation(), 40);
  EXPECT_EQ(resolved("gpt2", {{"eval_iters", "3"}}).config.sequences_per_evaluation(), 36);
}

struct Contradiction {
  Settings settings;
  const char *one, *other;
};

TEST(Resolve, ContradictionsNameBothKeysAndBothValues) {
  const Contradiction cases[] = {
      {{{"n_embd", "130"}, {"n_head", "4"}}, "n_embd = 130", "n_head = 4"},
      {{{"n_head", "5"}}, "n_embd = 384", "n_head = 5"},
      {{{"head_bias", "true"}}, "head_bias = true", "tie_head = true"},
      {{{"mini_batch_size", "4"}, {"gradient_accumulation_steps", "2"}},
       "mini_batch_size = 4",
       "gradient_accumulation_steps = 2"},
      {{{"min_lr", "0.5"}}, "min_lr = 0.5", "learning_rate = 0.001"},
      {{{"lr_decay_iters", "99"}}, "lr_decay_iters = 99", "warmup_iters = 100"},
  };
  for (const Contradiction& c : cases) {
    const Error e = refusal_of([&] { resolved("gpt2ish_shakespeare", c.settings); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.what(), AllOf(HasSubstr(c.one), HasSubstr(c.other)));
    EXPECT_FALSE(e.hint().empty()) << e.what();
  }
}

TEST(Resolve, WhatOnlyLooksLikeAContradictionIsTaken) {
  const char* const preset = "gpt2ish_shakespeare";
  EXPECT_NO_THROW(
      resolved(preset, {{"mini_batch_size", "4"}, {"gradient_accumulation_steps", "1"}}));
  EXPECT_NO_THROW(resolved(preset, {{"head_bias", "true"}, {"tie_head", "false"}}));
  EXPECT_NO_THROW(resolved(preset, {{"min_lr", "1e-3"}}));
  EXPECT_NO_THROW(resolved(preset, {{"lr_decay_iters", "100"}}));
  EXPECT_NO_THROW(resolved(preset, {{"max_iters", "10"}})) << "shorter than the warm-up";
  // Without a schedule its other keys say nothing.
  EXPECT_NO_THROW(resolved(preset, {{"decay_lr", "false"}, {"lr_decay_iters", "99"}}));
  EXPECT_NO_THROW(resolved(preset, {{"decay_lr", "false"}, {"learning_rate", "1e-5"}}));
}

TEST(Resolve, AWarmUpThatTheRunNeverLeavesIsSaid) {
  const auto r = resolved("gpt2ish_shakespeare", {{"max_iters", "50"}});
  ASSERT_EQ(r.notices.size(), 1u);
  EXPECT_THAT(r.notices[0], AllOf(HasSubstr("warmup_iters = 100"), HasSubstr("50")));
  EXPECT_TRUE(resolved("gpt2ish_shakespeare", {{"max_iters", "101"}}).notices.empty());
  EXPECT_TRUE(resolved("gpt2ish", {{"max_iters", "50"}}).notices.empty()) << "no schedule there";
}

TEST(Resolve, DeviceNames) {
  for (const char* name : {"auto", "cpu", "cuda", "cuda:0", "cuda:15"})
    EXPECT_NO_THROW(resolved("gpt2ish", {{"device", name}})) << name;
  for (const char* name :
       {"gpu", "", "cuda:", "cuda:x", "cuda:-1", "cuda0", "CPU", "cuda:99999999", "cpu ", "mps"}) {
    const Error e = refusal_of([&] { resolved("gpt2ish", {{"device", name}}); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.what(), AllOf(HasSubstr("device"), HasSubstr("auto, cpu, cuda, cuda:N"))) << name;
  }
}

TEST(Resolve, SpectralControlWithinItsRanges) {
  const SpectralConfig c =
      resolved("gpt2ish", {{"spectral_clip_beta", "0.9"}, {"spectral_method", "svd"}})
          .config.spectral;
  EXPECT_EQ(c.clip_beta, 0.9);
  EXPECT_EQ(c.method, SpectralMethod::kSvd);
  EXPECT_FALSE(resolved("gpt2ish").config.spectral.is_on());
  for (const auto& [key, text] : {std::pair{"spectral_clip_beta", "-0.1"},
                                  {"spectral_clip_beta", "1e31"},
                                  {"spectral_clip_beta", "inf"},
                                  {"spectral_method", "qr"},
                                  {"spectral_every", "0"},
                                  {"muon_ns_steps", "0"},
                                  {"muon_ns_steps", "31"}}) {
    const Settings settings = {{key, text}};
    const Error e = refusal_of([&] { resolved("gpt2ish", settings); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.what(), HasSubstr(key)) << text;
  }
}

TEST(SettledVocabSize, TheCorpusDecidesUnlessAskedForMore) {
  RunConfig c;
  EXPECT_EQ(settled_vocab_size(c, 65), 65);
  EXPECT_EQ(settled_vocab_size(c, 0), 50257) << "GPT-2's, when nothing is known";
  c.model.backbone.vocab_size = 128;
  EXPECT_EQ(settled_vocab_size(c, 65), 128);
  EXPECT_EQ(settled_vocab_size(c, 128), 128);
  EXPECT_EQ(settled_vocab_size(c, 0), 128);
  const Error e = refusal_of([&] { settled_vocab_size(c, 129); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  EXPECT_THAT(e.what(), AllOf(HasSubstr("128"), HasSubstr("129"), HasSubstr("vocab_size")));
}

}  // namespace
}  // namespace fathom
