// Every option of `fathom compare` and `fathom sweep` changes something.
#include "cli/effects_testing.h"
#include "fathom/cli/compare/request.h"
#include "fathom/cli/sweep/request.h"

namespace fathom {
namespace {

class StudyEffects : public testing::EffectsTest {
 protected:
  void compare_effects();
  void sweep_effects();
};

// What they do to a comparison: compare_test.cpp.
void StudyEffects::compare_effects() {
  const auto parsed = [](const char* word) { return *parse_compare({"old", word}); };
  effects_["compare metric"] = [=] { EXPECT_EQ(parsed("--metric=a").metric, "a"); };
  effects_["compare by"] = [=] { EXPECT_EQ(parsed("--by=flops").by, CompareBy::kFlops); };
  effects_["compare group"] = [=] { EXPECT_EQ(parsed("--group=word").group, GroupBy::kWord); };
  effects_["compare baseline"] = [=] { EXPECT_EQ(parsed("--baseline=b").baseline, "b"); };
  effects_["compare better"] = [=] {
    EXPECT_TRUE(parsed("--metric=loss").lower_is_better());
    EXPECT_FALSE(parsed("--metric=eval/val/accuracy").lower_is_better());
    EXPECT_FALSE(parsed("--better=higher").lower_is_better());
  };
  effects_["compare confidence"] = [=] { EXPECT_EQ(parsed("--confidence=0.9").confidence, 0.9); };
  effects_["compare early"] = [=] { EXPECT_EQ(parsed("--early=0.2").early, 0.2); };
  effects_["compare level"] = [=] { EXPECT_EQ(parsed("--level=2.5").level, 2.5); };
  effects_["compare last"] = [=] { EXPECT_EQ(parsed("--last=3").last, 3); };
  effects_["compare format"] = [=] {
    EXPECT_EQ(parsed("--format=html").output.format, report::Format::kHtml);
  };
  effects_["compare json"] = [=] {
    EXPECT_EQ(parsed("--json").output.format, report::Format::kJson);
  };
  effects_["compare output"] = [=] { EXPECT_EQ(parsed("--out=x").output.output, "x"); };
}

// What they do to its runs: sweep_test.cpp, and e2e/sweep_test.cpp.
void StudyEffects::sweep_effects() {
  const auto parsed = [](const char* word) { return *parse_sweep({"a.toml", word}); };
  effects_["sweep dry_run"] = [=] { EXPECT_TRUE(parsed("--dry_run").dry_run); };
  effects_["sweep jobs"] = [=] { EXPECT_EQ(parsed("--jobs=2").jobs, 2); };
  effects_["sweep quiet"] = [=] { EXPECT_TRUE(parsed("--quiet").quiet); };
}

TEST_F(StudyEffects, EachOptionChangesSomething) {
  compare_effects();
  sweep_effects();
  expect_all([](const std::string& verb) { return verb == "compare" || verb == "sweep"; });
}

}  // namespace
}  // namespace fathom
