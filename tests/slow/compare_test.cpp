// 20,000 comparisons of runs that differ by chance only.
#include "study/compare/simulated_runs.h"

namespace fathom {
namespace {

TEST(TwentyThousandComparisons, FindWhatIsNotThereAsSeldomAsIsSaid) {
  testing::check_rates(20'000);
}

}  // namespace
}  // namespace fathom
