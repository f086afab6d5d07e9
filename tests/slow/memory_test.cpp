// Resident memory over two thousand steps of the small presets as they are.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "e2e/small_run.h"

namespace fathom::testing {
namespace {

// Bytes a step: the slope of the least-squares line after the first 400 steps, in which the
// allocator finds its size.
double memory_slope(const SmallRuns& place, const std::string& preset) {
  const Outcome o = place.run({"train", preset, "--dataset=rain", "--run_name=" + preset,
                               "--max_iters=2400", "--eval_interval=400", "--eval_iters=20"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  std::istringstream lines(place.run({"export", preset, "--metrics=jsonl"}).out);
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto row = nlohmann::json::parse(line);
    const double step = row.at("step");
    if (step < 400 || !row.contains("process/rss_bytes")) continue;
    const double bytes = row["process/rss_bytes"];
    n += 1, x += step, y += bytes, xx += step * step, xy += step * bytes;
  }
  EXPECT_GT(n, 100);
  const double slope = (n * xy - x * y) / (n * xx - x * x);
  std::printf("%s: resident memory %.1f MB, %+.1f bytes a step\n", preset.c_str(), y / n / 1e6,
              slope);
  return slope;
}

TEST(Memory, StaysFlat) {
  const SmallRuns place;
  EXPECT_LT(memory_slope(place, "gpt2ish_shakespeare_cpu"), 1024);
  EXPECT_LT(memory_slope(place, "papingo_small"), 1024);
}

}  // namespace
}  // namespace fathom::testing
