// Keys that a run's list has not: whose they are, or what is typed here in their place.
#pragma once

#include <string>
#include <vector>

namespace fathom {

// For the HINT of a key's refusal: the presets that have it, its name here, or the verb whose key
// it is. Empty: nothing is known of it.
std::string where_key_is(const std::string& key);

// Names that other trainers have for keys of a run, and what is said of them.
struct OtherName {
  std::string name, hint;
};
const std::vector<OtherName>& other_names();

}  // namespace fathom
