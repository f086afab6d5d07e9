// `fathom bench` as a user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "e2e/program.h"

namespace fathom::testing {
namespace {

using nlohmann::json;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;

class BenchTest : public ::testing::Test {
 protected:
  Outcome bench(const std::string& what, const Words& more) const {
    Words words = {
        "bench",          what,          "papingo_small", "--n_embd=32", "--block_size=16",
        "--batch_size=4", "--threads=1", "--repeats=5"};
    words.insert(words.end(), more.begin(), more.end());
    return place_.run(words);
  }
  json answer(const std::string& what, Words more = {}) const {
    more.push_back("--json");
    const Outcome o = bench(what, more);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return json::parse(o.out);
  }

  Workplace place_;
};

TEST_F(BenchTest, TimesSteps) {
  const json a = answer("step");
  EXPECT_EQ(a["preset"], "papingo_small");
  EXPECT_EQ(a["threads"], 1);
  EXPECT_GT(a["parameters"], 0);
  EXPECT_GT(a["ms_p10"], 0);
  EXPECT_LE(a["ms_p10"], a["ms_median"]);
  EXPECT_LE(a["ms_median"], a["ms_p90"]);
  EXPECT_NEAR(a["tokens_per_s"].get<double>(), 4 * 16 / (1e-3 * a["ms_median"].get<double>()), 1);
  EXPECT_NEAR(a["share_of_best_matmul"].get<double>(),
              a["gflop_per_s"].get<double>() / a["best_matmul_gflop_per_s"].get<double>(), 1e-9);
  EXPECT_GT(a["peak_rss_bytes"], 1e7);
  EXPECT_FALSE(std::filesystem::exists(place_.path("runs"))) << "nothing is left behind";
  EXPECT_THAT(bench("step", {}).out, AllOf(HasSubstr("tokens_per_s"), ContainsRegex(" [MG]iB\n"),
                                           HasSubstr(" %\n"), Not(HasSubstr("e+0"))));
}

TEST_F(BenchTest, TakesSettings) {
  place_.write("half.toml", "n_layer = 2\n");
  const json one = answer("step", {"--n_layer=1"}), two = answer("step", {"--config=half.toml"});
  EXPECT_LT(one["parameters"], two["parameters"]);
  EXPECT_EQ(one["repeats"], 5);
  EXPECT_EQ(answer("step", {"--repeats=7"})["repeats"], 7);
  EXPECT_FALSE(one.contains("drift")) << "of five steps";
  EXPECT_TRUE(answer("step", {"--repeats=50"}).contains("drift"));
}

TEST_F(BenchTest, TimesTokens) {
  const json one = answer("decode"), four = answer("decode", {"--sequences=4"});
  EXPECT_EQ(one["sequences"], 1);
  EXPECT_NEAR(one["share_of_read"].get<double>(),
              one["weight_gb_per_s"].get<double>() / one["read_gb_per_s"].get<double>(), 1e-9);
  EXPECT_EQ(four["sequences"], 4);
  EXPECT_NEAR(four["tokens_per_s"].get<double>(), 4 / (1e-3 * four["ms_median"].get<double>()), 1);
}

TEST_F(BenchTest, TimesOperationsBesideTheirPlainTwins) {
  const json a = answer("ops");
  for (const char* op : {"norm", "linear", "attention", "mlp", "readout", "adamw"}) {
    EXPECT_GT(a["ops"][op]["ms"], 0) << op;
    EXPECT_GT(a["ops"][op]["plain_ms"], 0) << op;
  }
  EXPECT_THAT(bench("ops", {}).out, HasSubstr("attention"));
}

TEST_F(BenchTest, InstructionsAreTheOnesThatAreAskedFor) {
  ::setenv("FATHOM_ISA", "baseline", 1);
  EXPECT_EQ(answer("decode")["instructions"], "baseline");
  ::setenv("FATHOM_ISA", "none", 1);
  EXPECT_EQ(answer("decode")["instructions"], "none");
  ::setenv("FATHOM_ISA", "avx9", 1);
  const Outcome o = bench("decode", {});
  ::unsetenv("FATHOM_ISA");
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("FATHOM_ISA is \"avx9\""));
  EXPECT_THAT(o.err, HasSubstr("HINT: "));
}

TEST_F(BenchTest, RefusesWhatItCannotMeasure) {
  const Outcome o = place_.run({"bench", "stpe", "quickstart"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("did you mean step?"));
  EXPECT_EQ(place_.run({"bench", "step"}).exit_code, 2);
  EXPECT_EQ(bench("step", {"--repeats=0"}).exit_code, 2);
  EXPECT_THAT(bench("step", {"--sequences=2"}).err, HasSubstr("sequences = 2"));
}

}  // namespace
}  // namespace fathom::testing
