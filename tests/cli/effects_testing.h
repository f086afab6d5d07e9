// What the tests of options' effects share.
#pragma once

#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <string>

#include "cli/cli_testing.h"
#include "verb_effect_lists.h"

namespace fathom::testing {

class EffectsTest : public CliTest {
 protected:
  // Of the verbs asked for, every option that shows without torch has its effect.
  void expect_all(const std::function<bool(const std::string& verb)>& asked) {
    std::set<std::string> tested, listed;
    for (const auto& [name, effect] : effects_) {
      SCOPED_TRACE(name);
      effect();
      tested.insert(name);
    }
    for (const char* option : kVerbPlanEffects) {
      const std::string name = option;
      if (asked(name.substr(0, name.find(' ')))) listed.insert(name);
    }
    EXPECT_EQ(tested, listed);
  }

  std::map<std::string, std::function<void()>> effects_;  // by "verb option"
};

}  // namespace fathom::testing
