// A thousand steps of a small run, whose largest singular values stay where they are asked to.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "e2e/small_run.h"

namespace fathom::testing {
namespace {

TEST(Spectral, PolarExpressHoldsTheLargestValueOverAThousandSteps) {
  constexpr double kBeta = 0.3;
  const SmallRuns place;
  const Outcome o = place.train({"--run_name=held", "--max_iters=1000", "--eval_interval=500",
                                 "--dropout=0", "--spectral_clip_beta=0.3"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_NE(o.out.find("s_max 0.300"), o.out.npos) << o.out;
  std::istringstream lines(place.run({"export", "held", "--metrics=jsonl"}).out);
  const std::string after = "train/spectral/after/", before = "train/spectral/before/";
  int64_t rows = 0, held = 0;
  double least = 2 * kBeta, largest = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto row = nlohmann::json::parse(line);
    for (const auto& [name, value] : row.items()) {
      if (name.rfind(after, 0) != 0) continue;
      ++rows;
      largest = std::max(largest, value.get<double>());
      if (row.at(before + name.substr(after.size())).get<double>() <= kBeta) continue;
      ++held;
      least = std::min(least, value.get<double>());
    }
  }
  std::printf("of %lld values %lld were above beta, then from %.6f to %.6f of it\n",
              static_cast<long long>(rows), static_cast<long long>(held), least / kBeta,
              largest / kBeta);
  EXPECT_EQ(rows, 8 * 1000) << "two layers of four matrices";
  EXPECT_GT(held, 1000);
  EXPECT_GE(least, 0.998 * kBeta);
  EXPECT_LE(largest, 1.002 * kBeta);
}

}  // namespace
}  // namespace fathom::testing
