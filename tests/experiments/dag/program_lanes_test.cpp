// The functions that programs' arithmetic is made of, against the library's.
#include "experiments/dag/program_lanes.h"

#include <gtest/gtest.h>

#include <cmath>

namespace fathom::dag {
namespace {

// The same in every lane.
double lane(Lanes x) {
  for (int i = 1; i < kLanes; ++i) EXPECT_EQ(x[i], x[0]);
  return double{x[0]};
}

void expect_near(double actual, double expected, double scale) {
  EXPECT_LE(std::abs(actual - expected), 2.5e-7 * scale) << actual << ", not " << expected;
}

TEST(ProgramLanes, PowersAndWhatTheyLackOfOneHaveAllTheirDigits) {
  for (double d = 1e-30; d < 87; d *= 1.01) {
    const auto x = -static_cast<float>(d);
    const ExpLanes exp = exp_of(all(x));
    expect_near(lane(exp.power), std::exp(double{x}), std::exp(double{x}));
    expect_near(lane(exp.rest), -std::expm1(double{x}), -std::expm1(double{x}));
  }
  for (double d = 1e-30; d < 87; d *= 1.01) {
    const auto x = static_cast<float>(d);
    expect_near(lane(exp_of(all(x)).power), std::exp(double{x}), std::exp(double{x}));
  }
  EXPECT_EQ(lane(exp_of(all(0)).power), 1);
  EXPECT_EQ(lane(exp_of(all(0)).rest), 0);
  for (const float far : {-88.0f, -1e4f, -INFINITY}) {
    EXPECT_LT(lane(exp_of(all(far)).power), 2e-38);
    EXPECT_EQ(lane(exp_of(all(far)).rest), 1);
  }
}

TEST(ProgramLanes, LogsAreThoseOfTheLibrary) {
  for (double q = 1e-30; q <= 1; q *= 1.01) {
    const auto x = static_cast<float>(q);
    expect_near(lane(log1p_of(all(x))), std::log1p(double{x}), std::log1p(double{x}));
    const double log = std::log(double{x});
    expect_near(lane(log_of(all(x))), log, std::abs(log));
    expect_near(lane(log_of(1 / all(x))), -log, std::abs(log) + 0.3);
  }
  EXPECT_EQ(lane(log1p_of(all(0))), 0);
  EXPECT_EQ(lane(log_of(all(1))), 0);
  EXPECT_NEAR(lane(log_of(all(1.1754944e-38f))), std::log(1.1754944e-38), 1e-5);
}

// Its slope is that of differences, and nothing gets beyond the limit.
TEST(ProgramLanes, ClipsHoldToTheirLimit) {
  const ClipLanes clamp(Clip::kClamp, 5), tanh(Clip::kTanh, 5), none(Clip::kNone, 5);
  for (const float l : {-80.0f, -5.5f, -5.0f, -1.25f, 0.0f, 0.125f, 4.75f, 5.0f, 6.0f, 300.0f}) {
    const bool within = std::abs(l) <= 5;
    const double soft = std::tanh(double{l} / 5);
    EXPECT_EQ(lane(clamp.clipped(all(l))), std::fmax(-5, std::fmin(5, l)));
    EXPECT_EQ(lane(clamp.slope(all(l), all(3))), within ? 3 : 0);
    EXPECT_EQ(clamp.beyond(all(l))[0] != 0, !within);
    EXPECT_NEAR(lane(tanh.clipped(all(l))), 5 * soft, 2e-6);
    EXPECT_NEAR(lane(tanh.slope(all(l), all(3))), 3 * (1 - soft * soft), 2e-6);
    EXPECT_EQ(lane(none.clipped(all(l))), l);
    EXPECT_EQ(lane(none.slope(all(l), all(3))), 3);
  }
}

}  // namespace
}  // namespace fathom::dag
