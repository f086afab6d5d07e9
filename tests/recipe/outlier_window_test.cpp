#include "fathom/train/recipe/outlier_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "errors.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::error_of;
using ::testing::HasSubstr;

TEST(OutlierWindow, IsSilentUntilItIsFull) {
  OutlierWindow window(3);
  for (const double x : {1.0, 2.0}) {
    window.add(x);
    EXPECT_EQ(window.score(1e9), 0);
  }
  window.add(3);
  EXPECT_GT(window.score(1e9), 1);
}

TEST(OutlierWindow, ScoresByTheWindowsMeanAndDeviation) {
  OutlierWindow window(4);
  for (const double x : {100.0, 1.0, 2.0, 3.0, 4.0}) window.add(x);  // the 100 has left
  EXPECT_EQ(window.count(), 4);
  EXPECT_NEAR(window.score(5), 2.5 / std::sqrt(1.25), 1e-12);
  EXPECT_NEAR(window.score(2.5), 0, 1e-12);
  EXPECT_LT(window.score(0), 0);
  EXPECT_EQ(window.count(), 4) << "a score takes nothing in";
}

TEST(OutlierWindow, EqualValuesHaveNoOutliers) {
  OutlierWindow window(2);
  window.add(1), window.add(1);
  EXPECT_EQ(window.score(2), 0);
}

// What `spike_sigma` promises: spikes of 8 deviations are found, and at 6 the noise is not.
TEST(OutlierWindow, FindsSpikesAndLittleElse) {
  std::mt19937 generator(1);
  std::normal_distribution<double> noise(3.0, 0.1);
  OutlierWindow window(128);
  int found = 0, mistaken = 0;
  const int steps = 10'000, spikes = 500;
  for (int i = 0; i < steps; ++i) {
    const double clean = noise(generator);
    if (window.score(clean) > 6) {
      ++mistaken;
    } else {
      window.add(clean);
    }
    if (i >= 128 && i % ((steps - 128) / spikes) == 0) found += window.score(3.0 + 0.8) > 6;
  }
  EXPECT_GE(found, 0.99 * spikes);
  EXPECT_LE(mistaken, 0.001 * steps);
}

TEST(OutlierWindow, JsonKeepsEveryBit) {
  OutlierWindow window(3);
  for (const double x : {0.1, 1.0 / 3, 1e-300, 12345.678901234567}) window.add(x);
  const json saved = json::parse(json(window).dump());
  OutlierWindow back(3);
  from_json(saved, back);
  EXPECT_EQ(json(back), saved);
  EXPECT_EQ(back.score(7), window.score(7));
  OutlierWindow shorter(2);
  from_json(saved, shorter);
  EXPECT_EQ(json(shorter).dump(), json({saved[1], saved[2]}).dump()) << "the newest stay";
}

TEST(OutlierWindow, RefusesWhatIsNoListOfNumbers) {
  OutlierWindow window;
  for (const json& bad : {json("x"), json{{"a", 1}}, json(7), json(nullptr)})
    EXPECT_THAT(error_of([&] { from_json(bad, window); }), HasSubstr("not a list"));
  for (const json& bad : {json{1, "x"}, json{1, nullptr}, json::array({json::array({1})})})
    EXPECT_THAT(error_of([&] { from_json(bad, window); }), HasSubstr("finite numbers"));
}

}  // namespace
}  // namespace fathom
