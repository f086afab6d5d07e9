// state.json as a hostile file.
#include "fathom/train/recipe/run_state.h"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "errors.h"
#include "fathom/base/text.h"
#include "io/temp_folder.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::string refusal(const std::string& text) {
  const testing::TempFolder folder;
  testing::spill(folder / "state.json", text);
  const std::string message = testing::error_of([&] { load_state(folder.path()); });
  EXPECT_TRUE(is_printable(message)) << in_quotes(message);
  return message;
}

// A sound state with another value at `place`.
std::string with(const char* place, const json& value) {
  json state = to_json(RunState());
  state[json::json_pointer(place)] = value;
  return state.dump();
}

TEST(RunState, ReadsBackAsItWasWritten) {
  const testing::TempFolder folder;
  const std::string text = to_json(RunState()).dump();
  testing::spill(folder / "state.json", text);
  EXPECT_EQ(to_json(load_state(folder.path())).dump(), text);
}

TEST(RunState, HoldsTheWiringThatWasGivenAndItsHash) {
  RunState state;
  EXPECT_FALSE(to_json(state).contains("wiring"));
  state.config.model.wiring.wiring = "r=r+A(n) * M(n)";
  const json wiring = to_json(state)["wiring"];
  EXPECT_THAT(wiring["canonical"].get<std::string>(), HasSubstr("A(n)"));
  EXPECT_EQ(wiring["hash"].get<std::string>().size(), 16u);
  const testing::TempFolder folder;
  testing::spill(folder / "state.json", to_json(state).dump());
  EXPECT_EQ(to_json(load_state(folder.path())), to_json(state));
  state.config.model.wiring.wiring = "r = r + M(n)*A(n)";
  EXPECT_EQ(to_json(state)["wiring"], wiring) << "the same, otherwise spelled";
}

// A best value means what it meant: a run of before is gone on with under the name of today, or its
// best one is forgotten where "loss" is another number now.
TEST(RunState, TheMetricOfABestOneOfBeforeHasItsNameOfToday) {
  const auto name_of = [](const json& supervision, const char* name) {
    const testing::TempFolder folder;
    json state = json::parse(with("/config/layer_supervision", supervision));
    state["best_metric"] = name;
    testing::spill(folder / "state.json", state.dump());
    return load_state(folder.path()).best_metric;
  };
  EXPECT_EQ(name_of("last", "val/loss"), "eval/val/loss");
  EXPECT_EQ(name_of("all", "val/loss"), "eval/val/objective");
  EXPECT_EQ(name_of("all", "eval/val/loss"), "eval/val/loss");
  EXPECT_EQ(name_of("last", "eval/val/infer"), "eval/val/infer");
}

TEST(RunState, FlopsThatWereNotCountedFromTheStartStayUncounted) {
  const testing::TempFolder folder;
  json state = to_json(RunState());
  EXPECT_EQ(state["progress"]["flops"], 0);
  state["progress"].erase("flops");
  testing::spill(folder / "state.json", state.dump());
  const RunState loaded = load_state(folder.path());
  EXPECT_TRUE(std::isnan(loaded.progress.flops));
  EXPECT_TRUE(to_json(loaded)["progress"]["flops"].is_null());
  EXPECT_THAT(refusal(with("/progress/flops", -1)), HasSubstr("flops = -1 is no count"));
}

// The best checkpoint stays the best where the same evaluations are only written otherwise.
TEST(RunState, EvaluationsCompareByWhatTheyAre) {
  const auto state_of = [](const std::string& evaluations) {
    RunState state;
    state.config.model.halting.rule = HaltRule::kMax;
    state.config.model.halting.threshold = 0.5;
    state.config.training.evaluations = evaluations;
    return state;
  };
  const RunState state = state_of("train; val; strict: halt_threshold=0.9, batches=5");
  for (const char* same : {" train;val ;strict : batches = 5,halt_threshold=0.90;",
                           "train; val: split=val; strict: split=val, batches=5, "
                           "halt_threshold=9e-1"})
    EXPECT_TRUE(compares(state, state_of(same))) << same;
  for (const char* other : {"train; val", "train; val; strict: halt_threshold=0.8, batches=5",
                            "train; val; strict: halt_threshold=0.9",
                            "val; train; strict: halt_threshold=0.9, batches=5",
                            "train; val; stern: halt_threshold=0.9, batches=5",
                            "train; val; strict: split=train, halt_threshold=0.9, batches=5"})
    EXPECT_FALSE(compares(state, state_of(other))) << other;
  EXPECT_TRUE(compares(state_of("val; x"), state_of("val; x"))) << "none that could be made";
  EXPECT_FALSE(compares(state_of("val; x"), state_of("val; y")));
}

TEST(RunState, RefusesDepth) {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  EXPECT_THAT(refusal("{\"tokenizer\": " + deep + "}"), HasSubstr("nested deeper"));
}

TEST(RunState, RefusesNumbersThatAreNoCounts) {
  EXPECT_THAT(refusal(with("/evaluated_step", 1e300)), HasSubstr("not a count"));
  EXPECT_THAT(refusal(with("/evaluated_step", -2)), HasSubstr("not a count"));
  EXPECT_THAT(refusal(with("/format_version", 1e300)), HasSubstr("format_version is 1e+300"));
  EXPECT_THAT(refusal(with("/step", UINT64_MAX)), HasSubstr("not a count"));
}

TEST(RunState, ErrorsAreFitForATerminal) {
  EXPECT_THAT(refusal("{\"format_version\"\x80"), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(with("/config/\x1b[31m", 1)), HasSubstr("unknown key \\x1b[31m"));
  EXPECT_THAT(refusal(with("/config/preset", "\x1b")), HasSubstr("not a plain text"));
  EXPECT_THAT(refusal(with("/best_metric", "\n")), HasSubstr("not a plain text"));
}

}  // namespace
}  // namespace fathom
