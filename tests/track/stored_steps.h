// Steps whose values show whether one of them was lost or stored in part.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fathom/track/run_store.h"
#include "fathom/track/sqlite.h"

namespace fathom {

inline bool is_sound(const std::string& path) {
  Database database(path, false, 1000);
  SqlStatement check(database, "PRAGMA integrity_check");
  return check.next() && check.text(0) == "ok";
}

// Three values a step, so that a step which is there in part would show.
inline std::vector<MetricValue> values_at(int64_t step) {
  const auto x = static_cast<double>(step);
  return {{"a", x}, {"b", 2 * x}, {"c", -x}};
}

// Steps of `name` that are stored; fails the test unless they are 1..n, each one whole.
inline int64_t whole_steps(const RunStore& store, const std::string& name) {
  // `c` is read first: the later queries may see more of a growing run, never less.
  const std::vector<Point> c = store.series(name, "c");
  const std::vector<Point> b = store.series(name, "b");
  const std::vector<Point> a = store.series(name, "a");
  EXPECT_LE(c.size(), b.size());
  EXPECT_LE(b.size(), a.size());
  for (size_t i = 0; i < c.size(); ++i) {
    const auto step = static_cast<int64_t>(i) + 1;
    EXPECT_EQ(c[i].step, step);
    EXPECT_EQ(a[i].value, static_cast<double>(step));
    EXPECT_EQ(b[i].value, 2 * static_cast<double>(step));
    EXPECT_EQ(c[i].value, -static_cast<double>(step));
  }
  return static_cast<int64_t>(c.size());
}

}  // namespace fathom
