// How often comparisons of runs that differ by chance only find a difference; slow/compare_test.cpp
// counts ten times as many.
#include "study/compare/simulated_runs.h"

namespace fathom {
namespace {

TEST(FalsePositives, AreAsRareAsIsSaidAndDifferencesAreFoundAsOftenAsComputed) {
  testing::check_rates(2000);
}

TEST(FalsePositives, StayAsRareWhereManyGroupsAreComparedWithOne) {
  constexpr int kTimes = 1000;
  testing::SimulatedRuns runs(5);
  int found = 0;
  for (int i = 0; i < kTimes; ++i) {
    std::vector<ComparedGroup> groups;
    for (int g = 0; g < 6; ++g)
      groups.push_back(runs.group(std::to_string(g), 4, 0, std::to_string(g), {0, 0, 0, 0}));
    const Measure final = compare(groups, {}).measures.back();
    bool any = false;
    for (const GroupResult& group : final.groups)
      any = any || group.finding == Finding::kBetter || group.finding == Finding::kWorse;
    found += any;
  }
  EXPECT_LT(found, kTimes * (0.05 + testing::interval(0.05, kTimes)));
  EXPECT_GT(found, 5) << "and yet it can find something";
}

}  // namespace
}  // namespace fathom
