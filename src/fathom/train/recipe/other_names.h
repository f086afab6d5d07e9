// Keys that a run's list has not: whose they are, or what is typed here in their place.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fathom/config/fields.h"

namespace fathom {

// Has the list's refusals say where an unknown key is: the presets that have it, its name in this
// list, or the verb whose key it is. `takes`: which of the list's keys may be named; null: all.
void explain_other_names(FieldList& list, std::function<bool(const Field&)> takes = nullptr);

// Names that other trainers have for keys of a run, and what is said of them.
struct OtherName {
  std::string name;
  std::string key;   // that is ours for it, or what the hint is of; empty: it is true everywhere
  std::string hint;  // {} stands where an option has its dashes
};
const std::vector<OtherName>& other_names();

}  // namespace fathom
