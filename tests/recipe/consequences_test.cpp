// What is said that follows from keys: of a resume from those it changes, and of a shorter run.
#include "fathom/train/recipe/consequences.h"

#include <gmock/gmock.h>

#include "fathom/train/recipe/schedule.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::resolved;
using testing::Settings;

std::vector<std::string> after(int64_t step, Settings changed, Settings before = {}) {
  const std::vector<std::pair<std::string, std::string>> run = {
      {"max_iters", "200"}, {"warmup_iters", "10"}, {"learning_rate", "1e-3"}};
  before.insert(before.begin(), run.begin(), run.end());
  changed.insert(changed.begin(), before.begin(), before.end());
  return consequences(resolved("gpt2ish_shakespeare", before).config,
                      resolved("gpt2ish_shakespeare", changed).config, step);
}

TEST(Consequences, NothingFollowsFromNothing) {
  EXPECT_THAT(after(100, {}), IsEmpty());
  EXPECT_THAT(after(100, {{"log_interval", "3"}, {"dropout", "0.3"}}), IsEmpty());
}

TEST(Consequences, ALaterEndOfTheDecayRaisesTheRate) {
  EXPECT_THAT(after(200, {{"max_iters", "400"}}),
              ElementsAre("the learning rate of the next step is 5.7e-04 in place of 1.0e-04: its "
                          "decay ends at step 400 in place of 200"));
  EXPECT_THAT(after(200, {{"max_iters", "400"}}, {{"lr_decay_iters", "200"}}), IsEmpty())
      << "where the decay has an end of its own";
  EXPECT_THAT(after(200, {{"max_iters", "400"}}, {{"decay_lr", "false"}}), IsEmpty());
  EXPECT_THAT(after(5, {{"max_iters", "400"}}), IsEmpty()) << "the warm-up is the same";
}

TEST(Consequences, EveryChangeOfTheRateIsSaid) {
  EXPECT_THAT(after(200, {{"max_iters", "400"}, {"decay_lr", "false"}}),
              ElementsAre("the learning rate of the next step is 1.0e-03 in place of 1.0e-04"));
  EXPECT_THAT(after(5, {{"warmup_iters", "100"}}),
              ElementsAre("the learning rate of the next step is 5.9e-05 in place of 5.5e-04"));
  EXPECT_THAT(after(200, {{"min_lr", "1e-6"}}), IsEmpty()) << "no step is left";
}

TEST(Consequences, ABatchHasMoreInIt) {
  EXPECT_THAT(after(100, {{"batch_size", "32"}, {"validation_batch_size", "64"}}),
              ElementsAre("a step has 8,192 tokens in place of 16,384"));
  EXPECT_THAT(after(100, {{"gradient_accumulation_steps", "2"}}),
              ElementsAre("a step has 32,768 tokens in place of 16,384"));
  EXPECT_THAT(after(100, {{"mini_batch_size", "16"}}),
              ElementsAre("a forward pass has 16 sequences in place of 64: a step is the same but "
                          "for rounding"));
  EXPECT_THAT(after(100, {{"eval_iters", "100"}}),
              ElementsAre("an evaluation sees 6,400 sequences of a split in place of 12,800"));
}

TEST(Consequences, AnotherOptimiserBeginsAnew) {
  EXPECT_THAT(after(100, {{"optimizer", "muon"}}),
              ElementsAre("the optimiser is Muon in place of AdamW: it begins anew, as with "
                          "--ignore_optimizer"));
  EXPECT_THAT(
      after(200, {{"optimizer", "sgd"}}, {{"optimizer", "schedule_free_adamw"}}),
      ElementsAre("the optimiser is SGD in place of schedule-free AdamW: it begins anew, as "
                  "with --ignore_optimizer"));
}

TEST(Consequences, AnOptimisersWarmUpIsInTheRate) {
  const Settings constant = {{"decay_lr", "false"}};
  const auto with = [&](Settings settings) {
    settings.insert(settings.begin(), constant.begin(), constant.end());
    return settings;
  };
  EXPECT_THAT(after(5, {{"optimizer_warmup_steps", "10"}}, constant),
              ElementsAre("the learning rate of the next step is 5.5e-04 in place of 1.0e-03"));
  EXPECT_THAT(after(15, {{"optimizer_warmup_steps", "10"}}, constant), IsEmpty());
  // Another optimiser warms up from its own beginning.
  EXPECT_THAT(after(15, {{"optimizer", "adam"}}, with({{"optimizer_warmup_steps", "10"}})),
              ElementsAre(::testing::HasSubstr("begins anew"),
                          "the learning rate of the next step is 1.0e-04 in place of 1.0e-03"));
  // Updates count, not steps.
  const RunConfig before = resolved("gpt2ish_shakespeare", constant).config,
                  now = resolved("gpt2ish_shakespeare", with({{"optimizer_warmup_steps", "10"}}))
                            .config;
  EXPECT_THAT(consequences(before, now, 100, {5, {}}),
              ElementsAre("the learning rate of the next step is 5.5e-04 in place of 1.0e-03"));
}

TEST(Consequences, ANewOptimiserWarmsUpFromItsBeginning) {
  const RunConfig c =
      resolved("gpt2ish_shakespeare", {{"decay_lr", "false"}, {"optimizer_warmup_steps", "10"}})
          .config;
  Standing at;
  EXPECT_THAT(consequences(c, c, 50, at), IsEmpty());
  at.new_optimizer = true;
  EXPECT_EQ(consequences(c, c, 50, at).size(), 1u);
}

TEST(Consequences, WhatIsSetBackStandsAtItsBeginning) {
  // The tensor had thawed where the run stood; what it keeps stays.
  const RunConfig before = resolved("gpt2ish_shakespeare",
                                    {{"parameter_groups", "norm_out.*: frozen_until=90"}})
                               .config,
                  now = resolved("gpt2ish_shakespeare", {}).config;
  Standing at;
  EXPECT_EQ(consequences(before, now, 0, at).size(), 1u);
  at.was_at = 100;
  EXPECT_THAT(consequences(before, now, 0, at), IsEmpty());
}

TEST(Consequences, WhatThawsHasNoMoments) {
  EXPECT_THAT(after(100, {{"freeze", "token_table.*"}}, {{"freeze", "token_table.*,norm_out.*"}}),
              ElementsAre("one tensor that was frozen is trained from here on: the moments begin "
                          "at zero"));
  EXPECT_THAT(after(100, {{"freeze", ""}}, {{"freeze", "norm_out.*,token_table.*"}}),
              ElementsAre("2 tensors that were frozen are trained from here on: the moments begin "
                          "at zero"));
  EXPECT_THAT(after(100, {{"freeze", "token_table.*"}}), IsEmpty()) << "it says so itself";
  const Settings until = {{"parameter_groups", "norm_out.*: frozen_until=150"}};
  const char* const kThawed =
      "one tensor that was frozen is trained from here on: the moments begin at zero";
  EXPECT_THAT(after(100, {{"parameter_groups", "norm_out.*: frozen_until=90"}}, until),
              ElementsAre(kThawed));
  EXPECT_THAT(after(100, {{"parameter_groups", "norm_out.*: frozen_until=101"}}, until), IsEmpty());
  EXPECT_THAT(after(160, {{"parameter_groups", "norm_out.*: lr=2"}}, until), IsEmpty());
}

// A key's value and where it was given.
struct Given {
  const char *key, *text, *origin = "--key";
};
std::string left_high(RunConfig config, const std::vector<Given>& given, bool of_stage = false) {
  FieldList list;
  add_fields(list, config);
  for (const Given& g : given) list.set_text(g.key, g.text, g.origin);
  resolve(list, config);
  if (!of_stage) return rate_left_high(list, config);
  FieldList overrides;
  add_fields(overrides, config);
  return rate_left_high_in_stage(overrides, config);
}

// As of a preset whose decay ends at step 5,000, with its run.
RunConfig decaying() {
  RunConfig config = preset_config("dag_predictor_small");
  config.schedule.lr_decay_iters = config.training.max_iters = 5000;
  return config;
}

TEST(RateLeftHigh, IsSaidOfAShorterRun) {
  const RunConfig preset = decaying();
  EXPECT_EQ(left_high(preset, {{"max_iters", "1500"}}),
            "the last step's learning rate is 8.3e-04 and not 1.0e-05: max_iters = 1500 is over "
            "before lr_decay_iters = 5000; HINT: --lr_decay_iters=1500 lets the decay end with it");
  EXPECT_NE(left_high(preset, {{"max_iters", "1500", "mine.toml:3"}}), "");
  for (const std::vector<Given>& fine : std::vector<std::vector<Given>>{
           {},
           {{"max_iters", "5000"}},
           {{"max_iters", "9000"}},
           {{"max_iters", "4999"}},  // as good as the end
           {{"max_iters", "0"}},
           {{"max_iters", "100"}},  // within the warm-up, which is said otherwise
           {{"max_iters", "1500"}, {"lr_decay_iters", "1500"}},
           {{"max_iters", "1500"}, {"lr_decay_iters", "None"}},
           {{"max_iters", "1500"}, {"lr_decay_iters", "4000"}},
           {{"lr_decay_iters", "4000"}, {"max_iters", "1500"}},
           {{"max_iters", "1500", "mine.toml:3"}, {"lr_decay_iters", "5000", "mine.toml:4"}},
           {{"max_iters", "1500"}, {"decay_lr", "False"}},
           {{"max_iters", "1500"}, {"eval_only", "True"}},
           {{"lr_decay_iters", "9000"}}})
    EXPECT_EQ(left_high(preset, fine), "");
  EXPECT_EQ(
      left_high(preset_config("gpt2ish_shakespeare"), {{"max_iters", "20"}, {"warmup_iters", "5"}}),
      "")
      << "where the decay ends with the run";
  // A file's decay, and fewer steps on the line behind it.
  EXPECT_NE(left_high(preset_config("gpt2ish_shakespeare"),
                      {{"lr_decay_iters", "600", "mine.toml:1"}, {"max_iters", "200"}}),
            "");
}

TEST(RateLeftHigh, IsSaidOfAStageBeneathThePresetsDecay) {
  EXPECT_THAT(left_high(preset_config("dag_predictor"), {{"max_iters", "1500"}}, /*of_stage=*/true),
              ::testing::HasSubstr("HINT: \"lr_decay_iters\": 1500"));
  EXPECT_EQ(
      left_high(preset_config("dag_predictor"), {{"max_iters", "1500"}, {"lr_decay_iters", "4000"}},
                /*of_stage=*/true),
      "")
      << "it is the line's";
}

}  // namespace
}  // namespace fathom
