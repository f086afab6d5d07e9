// A model that looks ahead, through the programs: trained, measured at every shift, and asked.
#include <nlohmann/json.hpp>

#include "e2e/small_run.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;

TEST(AheadProgram, IsTrainedMeasuredAndDrafts) {
  const SmallRuns place;
  const Outcome trained = place.train(
      {"--run_name=far", "--predict_ahead", "--max_shift=3", "--layer_supervision=all", "--quiet"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;

  const auto e = nlohmann::json::parse(place.run({"eval", "far", "--json"}).out);
  for (const char* name :
       {"loss_shift/1", "loss_shift/2", "loss_shift/3", "loss_without_shift", "unigram_entropy"}) {
    ASSERT_TRUE(e["metrics"].contains(name)) << name;
    EXPECT_GT(e["metrics"][name], 0.5) << name;
  }
  EXPECT_EQ(e["metrics"]["loss_shift/1"], e["loss"]);

  const auto generated = [&](const Words& more) {
    Words words = {"generate", "far", "--do_sample=False", "--max_new_tokens=40", "--start=the "};
    words.insert(words.end(), more.begin(), more.end());
    return place.run(words);
  };
  const Outcome plain = generated({}), shift = generated({"--draft=shift", "--overflow=half"}),
                exit = generated({"--draft=exit", "--draft_tokens=2"});
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  ASSERT_EQ(shift.exit_code, 0) << shift.err;
  EXPECT_EQ(exit.out, plain.out);
  for (const Outcome* drafted : {&shift, &exit}) {
    EXPECT_THAT(drafted->err, HasSubstr("tokens a pass"));
    EXPECT_THAT(drafted->err, HasSubstr("tokens/s"));
  }
  const auto half = nlohmann::json::parse(generated({"--overflow=half", "--json"}).out);
  EXPECT_EQ(half["texts"][0].get<std::string>() + "\n", shift.out);
  EXPECT_EQ(half["tokens"], 40);
  EXPECT_EQ(half["passes"], 40);
  EXPECT_EQ(half["tokens_per_pass"], 1.0);

  const Outcome ahead = generated({"--lookahead=3", "--json"});
  ASSERT_EQ(ahead.exit_code, 0) << ahead.err;
  const auto a = nlohmann::json::parse(ahead.out);
  EXPECT_EQ(a["lookahead"], 3);
  ASSERT_EQ(a["tokens"].size(), 10U);
  EXPECT_GE(a["tokens"][0]["probability"], a["tokens"][1]["probability"]);
  EXPECT_LT(a["tokens"][0]["id"], 25) << "a shift token";
  EXPECT_THAT(generated({"--lookahead=3"}).out, HasSubstr("3 tokens behind the text"));

  const Outcome traced = place.run({"trace", "far", "--text=the rain"});
  EXPECT_EQ(traced.exit_code, 0) << traced.err;
}

}  // namespace
}  // namespace fathom::testing
