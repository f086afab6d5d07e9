// `fathom loops` and `fathom eval --loops` as they are asked for.
#include <set>

#include "cli/effects_testing.h"
#include "cli/saved_run.h"
#include "fathom/cli/eval/request.h"
#include "fathom/cli/loops/request.h"
#include "fathom/study/asked/loop_lists.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::refusal_of;
using testing::Words;

class LoopsVerb : public testing::EffectsTest {
 protected:
  LoopsVerb() {
    save("round", "looped_tiny", "last");
    save("straight", "gpt2ish_shakespeare_cpu", "last");
  }
  static std::string save(const char* run, const char* preset, const char* checkpoint) {
    return testing::save_state(run, checkpoint, testing::saved_state(preset, "rain", 30));
  }
  static LoopsRequest parsed(Words more = {}) {
    more.insert(more.begin(), "round");
    return *parse_loops(more);
  }
  static Error refused(Words more) {
    more.insert(more.begin(), "round");
    return refusal_of([&] { parse_loops(more); });
  }
};

TEST_F(LoopsVerb, EachOptionChangesSomething) {
  const auto changes = [&](const char* option, const std::function<void()>& effect) {
    effects_[std::string("loops ") + option] = effect;
  };
  changes("checkpoint", [] {
    save("round", "looped_tiny", "best");
    EXPECT_THAT(parsed().model.folder, HasSubstr("/best"));
    EXPECT_THAT(parsed({"--checkpoint=last"}).model.folder, HasSubstr("/last"));
  });
  changes("dataset", [] { EXPECT_EQ(parsed({"--dataset=rain"}).dataset, "rain"); });
  changes("split", [] { EXPECT_EQ(parsed({"--split=train"}).split, "train"); });
  changes("texts", [] { EXPECT_EQ(parsed({"--texts=3"}).texts, 3); });
  changes("text", [] {
    EXPECT_FALSE(parsed().text);
    EXPECT_EQ(parsed({"--text=rain\\n"}).text, "rain\n");
    EXPECT_EQ(parsed({"--start=rain"}).text, "rain");
  });
  changes("prompts", [this] {
    place_.write("prompts.txt", "first\r\n\n  \nthe second");
    EXPECT_THAT(parsed({"--prompts=" + place_.path("prompts.txt").string()}).prompts,
                ElementsAre("first", "the second"));
  });
  changes("tokens", [] { EXPECT_EQ(parsed({"--tokens=9"}).tokens, 9); });
  changes("counts", [] {
    EXPECT_THAT(parsed().counts, ElementsAre(1, 5, 15, 30));
    EXPECT_THAT(parsed({"--counts=4,2"}).counts, ElementsAre(2, 4));
  });
  changes("pca", [] { EXPECT_EQ(parsed({"--pca=3"}).components, 3); });
  changes("zoom", [] { EXPECT_EQ(parsed({"--zoom=5"}).zoom, 5); });
  changes("jacobian", [] { EXPECT_TRUE(parsed({"--jacobian"}).jacobian); });
  changes("block_only", [] { EXPECT_TRUE(parsed({"--jacobian", "--block_only"}).block_only); });
  changes("jacobian_tokens", [] {
    EXPECT_EQ(parsed({"--jacobian", "--jacobian_tokens=4"}).jacobian_tokens, 4);
  });
  changes("jacobian_iterations", [] {
    EXPECT_THAT(parsed({"--jacobian"}).jacobian_iterations, ElementsAre());
    EXPECT_THAT(parsed({"--jacobian", "--jacobian_iterations=29,1"}).jacobian_iterations,
                ElementsAre(1, 29));
    const Error late = refused({"--jacobian", "--jacobian_iterations=1,30"});
    EXPECT_THAT(late.what(), HasSubstr("the last one begins with state 29"));
    EXPECT_THAT(late.hint(), HasSubstr("--counts=31"));
  });
  changes("box_pca", [] { EXPECT_TRUE(parsed({"--box_pca"}).box_pca); });
  changes("token_pictures", [] { EXPECT_TRUE(parsed({"--token_pictures"}).token_pictures); });
  changes("seeds", [] { EXPECT_EQ(parsed({"--seeds=3"}).seeds, 3); });
  changes("noise", [] { EXPECT_EQ(parsed({"--noise=0.5"}).noise, 0.5); });
  changes("sweep", [] { EXPECT_THAT(parsed({"--sweep=0.1,0.01"}).sweep, ElementsAre(0.1, 0.01)); });
  changes("rule", [] {
    EXPECT_EQ(parsed({"--sweep=0.1"}).rule, "rel_latent");
    EXPECT_EQ(parsed({"--sweep=0.1", "--rule=kl"}).rule, "kl");
  });
  changes("weights", [] { EXPECT_TRUE(parsed({"--weights"}).weights); });
  changes("csv", [] {
    EXPECT_EQ(parsed({"--csv=a.csv"}).csv, "a.csv");
    EXPECT_THAT(refused({"--csv=a.json", "--output=./a.json"}).what(),
                HasSubstr("csv and output are both"));
  });
  changes("convergence_csv", [] {
    EXPECT_EQ(parsed({"--convergence_csv=a.csv"}).convergence_csv, "a.csv");
    EXPECT_THAT(refused({"--csv=a.csv", "--convergence_csv=./a.csv"}).what(),
                HasSubstr("csv and convergence_csv are both"));
  });
  changes("numbers_csv", [] {
    EXPECT_EQ(parsed({"--numbers_csv=a.csv"}).numbers_csv, "a.csv");
    EXPECT_THAT(refused({"--numbers_csv=a.json", "--output=a.json"}).what(),
                HasSubstr("numbers_csv and output are both"));
  });
  changes("format",
          [] { EXPECT_EQ(parsed({"--format=svg"}).output.format, report::Format::kSvg); });
  changes("json", [] { EXPECT_EQ(parsed({"--json"}).output.format, report::Format::kJson); });
  changes("output",
          [] { EXPECT_EQ(parsed({"--out=x.html"}).output.format, report::Format::kHtml); });
  expect_all([](const std::string& verb) { return verb == "loops"; });
}

TEST_F(LoopsVerb, AModelWithoutLoopsIsRefusedAtOnce) {
  const Error loops = refusal_of([] { parse_loops({"straight"}); });
  const Error eval = refusal_of([] { parse_eval({"straight", "--loops=1,2"}); });
  for (const Error& e : {loops, eval}) {
    EXPECT_THAT(e.what(), HasSubstr("straight has no loops"));
    EXPECT_THAT(e.hint(), HasSubstr("--loop_groups"));
  }
}

TEST_F(LoopsVerb, WhatIsNoListIsRefusedByName) {
  for (const char* counts : {"--counts=", "--counts=x", "--counts=0", "--counts=1.5",
                             "--counts=[1,[2]]", "--counts=5000"})
    EXPECT_THAT(refused({counts}).what(), HasSubstr("counts ")) << counts;
  for (const char* sweep : {"--sweep=x", "--sweep=-1", "--sweep=0.1,inf"})
    EXPECT_THAT(refused({sweep}).what(), HasSubstr("sweep ")) << sweep;
  EXPECT_THAT(refused({"--sweep=0.1", "--rule=guess"}).what(), HasSubstr("loop_halt_rule"));
  EXPECT_THAT(refused({"--text=a", "--prompts=b"}).what(), HasSubstr("text and prompts both"));
  EXPECT_THAT(refused({"--pca=4"}).what(), HasSubstr("pca"));
  place_.write("empty.txt", "\n\n");
  EXPECT_THAT(refused({"--prompts=" + place_.path("empty.txt").string()}).what(),
              HasSubstr("0 prompts"));
  EXPECT_THAT(loop_counts_of("loops", "[30, 1, 5, 5]"), ElementsAre(1, 5, 30));
}

TEST_F(LoopsVerb, EvaluationsSideBySideAreOfTheSameBatches) {
  const auto eval = [](const char* word) { return *parse_eval({"round", word}); };
  EXPECT_TRUE(eval("--split=val").loops.empty());
  EXPECT_THAT(eval("--loops=15,1").loops, ElementsAre(1, 15));
  EXPECT_THAT(eval("--loops").loops, ElementsAre(1, 5, 15, 30));
  EXPECT_THAT(parse_eval({"--loops", "round"})->loops, ElementsAre(1, 5, 15, 30));
  EXPECT_EQ(eval("--evaluations=exits: loop_halt_rule=kl").evaluations, "exits: loop_halt_rule=kl");
  const auto refused_eval = [](const char* word) {
    return refusal_of([&] { parse_eval({"round", word}); });
  };
  EXPECT_THAT(refused_eval("--evaluations=a: loop_halt_rule=kl, batches=3").what(),
              HasSubstr("batches of its own"));
  EXPECT_THAT(refused_eval("--evaluations=train").what(), HasSubstr("of the split train"));
  EXPECT_THAT(refused_eval("--evaluations=a: n_layer=3").what(),
              HasSubstr("no matter of one pass"));
}

}  // namespace
}  // namespace fathom
