// A step takes as long after twenty minutes as at the start, beside a product that is timed with
// it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "e2e/program.h"

namespace fathom::testing {
namespace {

TEST(Speed, DoesNotDriftInTwentyMinutes) {
  const Workplace place;
  const auto bench = [&](int64_t repeats) {
    const Outcome o = place.run({"bench", "step", "gpt2ish_shakespeare_cpu", "--vocab_size=65",
                                 "--json", "--repeats=" + std::to_string(repeats)});
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return nlohmann::json::parse(o.out);
  };
  const auto seconds = [] { return double(std::time(nullptr)); };
  const double begin = seconds();
  bench(200);
  const double each = (seconds() - begin) / 200;
  const auto repeats = static_cast<int64_t>(25 * 60 / each);  // the start is in `each`
  const double start = seconds();
  const nlohmann::json a = bench(repeats);
  std::printf("%.1f minutes, %lld steps of %.1f ms, %.2f of the best product: drift %+.2f %%\n",
              (seconds() - start) / 60, static_cast<long long>(repeats),
              a.at("ms_median").get<double>(), a.at("share_of_best_matmul").get<double>(),
              100 * a.at("drift").get<double>());
  EXPECT_LT(std::abs(a.at("drift").get<double>()), 0.03);
}

}  // namespace
}  // namespace fathom::testing
