// What tests of all rows of the notebook of wirings share.
#pragma once

#include <gtest/gtest.h>

#include "property/presets.h"

namespace fathom::property {

// Each of the wirings' 79 names, in both sizes, is in one of the cases, by itself or beside others
// that are the same model at this size.
inline void expect_all_wirings(const std::vector<Case>& cases) {
  size_t names = 0;
  for (const Case& c : cases) names += size_t(1 + std::count(c.name.begin(), c.name.end(), ','));
  size_t registered = 0;
  for (const Preset& preset : registry().presets())
    registered += preset.experiment == "blockalgebra" ? 1 : 0;
  EXPECT_EQ(names, registered);
  EXPECT_GE(names, 2U * 79);
}

}  // namespace fathom::property
