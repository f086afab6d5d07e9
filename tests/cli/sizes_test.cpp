// `fathom sizes` as it is asked for.
#include "cli/effects_testing.h"
#include "cli/saved_run.h"
#include "fathom/cli/sizes/request.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using testing::refusal_of;
using testing::Words;

class SizesVerb : public testing::EffectsTest {
 protected:
  SizesVerb() { save("last"); }
  static void save(const char* checkpoint) {
    testing::save_state("plain", checkpoint,
                        testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30));
  }
  static SizesRequest parsed(Words more = {}) {
    more.insert(more.begin(), "plain");
    return *parse_sizes(more);
  }
  static SizesRequest at_start(const Words& more = {}) {
    Words words = {"gpt2ish_shakespeare_cpu", "--untrained"};
    words.insert(words.end(), more.begin(), more.end());
    return *parse_sizes(words);
  }
};

TEST_F(SizesVerb, EachOptionChangesSomething) {
  const auto changes = [&](const char* option, const std::function<void()>& effect) {
    effects_[std::string("sizes ") + option] = effect;
  };
  changes("checkpoint", [] {
    save("best");
    EXPECT_THAT(parsed().model.folder, HasSubstr("/best"));
    EXPECT_THAT(parsed({"--checkpoint=last"}).model.folder, HasSubstr("/last"));
  });
  changes("dataset", [] { EXPECT_EQ(parsed({"--dataset=rain"}).dataset, "rain"); });
  changes("split", [] { EXPECT_EQ(parsed({"--split=train"}).split, "train"); });
  changes("untrained", [] {
    EXPECT_FALSE(parsed().untrained);
    EXPECT_FALSE(parsed({"--untrained", "false"}).untrained);
    EXPECT_FALSE(parsed({"--untrained", "--untrained=0"}).untrained);
    EXPECT_TRUE(at_start().untrained);
    for (const char* said : {"--untrained=1", "--untrained=True", "--untrained=true"})
      EXPECT_TRUE(parse_sizes({"gpt2ish_shakespeare_cpu", said})->untrained) << said;
  });
  changes("batches", [] { EXPECT_EQ(parsed({"--batches=3"}).batches, 3); });
  changes("sequences", [] {
    const RunConfig config = testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 0).config;
    EXPECT_EQ(parsed().sequences_of(config), config.micro_batch_size());
    EXPECT_EQ(at_start().sequences_of(config), 1);
    EXPECT_EQ(parsed({"--sequences=2"}).sequences_of(config), 2);
  });
  changes("tokens", [] {
    const RunConfig config = testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 0).config;
    EXPECT_EQ(parsed().tokens_of(config), 16);
    EXPECT_EQ(parsed({"--tokens=9"}).tokens_of(config), 9);
  });
  changes("gradients", [] { EXPECT_FALSE(parsed({"--gradients=False"}).gradients); });
  changes("eps", [] { EXPECT_EQ(parsed({"--eps=0.5"}).eps, 0.5); });
  changes("rank_rows", [] { EXPECT_EQ(parsed({"--rank_rows=9"}).rank_rows, 9); });
  changes("bins", [] { EXPECT_EQ(parsed({"--bins=6"}).bins, 6); });
  changes("csv", [] { EXPECT_EQ(parsed({"--csv=a.csv"}).csv, "a.csv"); });
  changes("format",
          [] { EXPECT_EQ(parsed({"--format=svg"}).output.format, report::Format::kSvg); });
  changes("json", [] { EXPECT_EQ(parsed({"--json"}).output.format, report::Format::kJson); });
  changes("output",
          [] { EXPECT_EQ(parsed({"--out=x.html"}).output.format, report::Format::kHtml); });
  expect_all([](const std::string& verb) { return verb == "sizes"; });
}

TEST_F(SizesVerb, APresetsKeysShapeItsModelAndTrainingsKeysAreInVain) {
  const SizesRequest request =
      at_start({"--n_layer=3", "--vocab_size=50304", "--tokens=13", "--learning_rate=0.1"});
  EXPECT_EQ(request.config.model.backbone.n_layer, 3);
  EXPECT_EQ(request.vocab_size, 50304);
  EXPECT_THAT(request.notices,
              Contains(AllOf(HasSubstr("learning_rate = "), HasSubstr("needs a training"))));
  const SizesRequest usual = at_start({"--n_layer=3", "--seed=5"});
  for (const std::string& notice : usual.notices)
    EXPECT_THAT(notice, ::testing::Not(HasSubstr("no effect")));
}

TEST_F(SizesVerb, WhatCannotBeLookedAtIsRefusedByName) {
  const auto refused = [](Words more) {
    more.insert(more.begin(), "plain");
    return refusal_of([&] { parse_sizes(more); });
  };
  EXPECT_THAT(refused({"--tokens=17"}).what(), HasSubstr("tokens = 17, plain sees 16"));
  EXPECT_THAT(refused({"--split=test"}).what(), HasSubstr("split = "));
  EXPECT_THAT(refused({"--eps=0"}).what(), HasSubstr("eps"));
  EXPECT_THAT(refused({"--untrained=perhaps"}).what(), HasSubstr("untrained = perhaps"));
  EXPECT_THAT(refused({"--csv=a/../b.json", "--output=b.json"}).what(),
              HasSubstr("csv and output are both"));
  const Error room = refusal_of([] {
    parse_sizes({"gpt2ish_shakespeare_cpu", "--untrained", "--sequences=65536", "--n_layer=12",
                 "--n_head=12", "--n_embd=768", "--block_size=1024"});
  });
  EXPECT_THAT(room.what(),
              HasSubstr("65,536 sequences of 1,024 tokens and what 12 layers make of them do not "
                        "fit"));
  EXPECT_THAT(room.hint(), HasSubstr("sequences or tokens"));
  EXPECT_THAT(refusal_of([] { parse_sizes({"nobody"}); }).what(), HasSubstr("nobody"));
}

}  // namespace
}  // namespace fathom
