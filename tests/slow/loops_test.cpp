// The small model that loops is better the more often it loops, three times out of three, on
// Shakespeare's characters, also beyond the 7 iterations that it was trained with: ten minutes on
// two cores.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "e2e/program.h"

namespace fathom::testing {
namespace {

// The last value of a series.
double last_value(const Workplace& place, const std::string& run, const std::string& series) {
  std::istringstream lines(place.run({"export", run, "--metrics=jsonl"}).out);
  double value = NAN;
  for (std::string line; std::getline(lines, line);) {
    const auto row = nlohmann::json::parse(line);
    if (row.contains(series)) value = row[series];
  }
  return value;
}

TEST(Loops, HelpTheMoreOftenTheyRun) {
  const char* const text = std::getenv("FATHOM_SHAKESPEARE");
  if (text == nullptr) GTEST_SKIP() << "FATHOM_SHAKESPEARE names no file";
  const Workplace place;
  const std::string file = std::filesystem::absolute(text);
  ASSERT_EQ(place.run({"prepare", "shakespeare_char", "--input", file}).exit_code, 0);
  std::vector<double> gains;
  for (const char* seed : {"1", "2", "3"}) {
    const std::string run = std::string("loops") + seed;
    const Outcome o = place.run({"train", "looped_tiny", "--run_name=" + run, "--quiet",
                                 std::string("--seed=") + seed,
                                 "--evaluations=train; val; loops_1: max_loops=1; loops_7: "
                                 "max_loops=7; loops_15: max_loops=15",
                                 "--enable_auto_exit_eval"});
    ASSERT_EQ(o.exit_code, 0) << o.err;
    const double once = last_value(place, run, "eval/loops_1/loss"),
                 mean = last_value(place, run, "eval/val/loss"),
                 most = last_value(place, run, "eval/loops_7/loss"),
                 beyond = last_value(place, run, "eval/loops_15/loss"),
                 by_itself = last_value(place, run, "eval/auto_exit/loss");
    std::printf(
        "seed %s: loss %.4f with 1 iteration, %.4f with 4, %.4f with 7, %.4f with 15, %.4f by "
        "itself\n",
        seed, once, mean, most, beyond, by_itself);
    gains.push_back(once - most);
    EXPECT_LE(beyond, once) << seed;
  }
  // 95 % of Student's t with two degrees of freedom lie within 4.303.
  const double mean = std::accumulate(gains.begin(), gains.end(), 0.0) / 3;
  double squares = 0;
  for (const double gain : gains) squares += (gain - mean) * (gain - mean);
  const double half = 4.303 * std::sqrt(squares / 2 / 3);
  std::printf("7 iterations in place of 1: %.4f +- %.4f\n", mean, half);
  EXPECT_GT(mean - half, 0);
}

}  // namespace
}  // namespace fathom::testing
