// Groups of parameters as they are typed: what was read holds its limits, and a group more changes
// nothing of those before it.
#include "fathom/train/recipe/parameter_groups.h"

#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const std::string text = grown(in);
  std::vector<ParameterGroup> groups;
  if (!accepts(text.size(), [&] { groups = read_parameter_groups(text); })) return;
  for (const ParameterGroup& g : groups) {
    require(!g.pattern.empty(), "a group names something");
    require(g.rate > 0 && g.rate <= 1e6, "a rate is within its limits");
    require(!g.decay || (*g.decay >= 0 && *g.decay <= 1e30), "a decay is within its limits");
    require(g.frozen_until >= 0 && g.frozen_until <= 1'000'000'000'000, "a step is a step");
  }
  const std::vector<ParameterGroup> more = read_parameter_groups(text + ";x:lr=2");
  require(more.size() == groups.size() + 1 && more.back().rate == 2, "a group more is one more");
}

}  // namespace fathom::fuzzing
