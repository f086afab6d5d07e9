// The verbs that `fathom-engine` carries out, by the name of their folder (cmake/verbs.cmake).
#pragma once

#include <string>
#include <vector>

#include "fathom/config/command_line.h"

namespace fathom {

struct EngineVerb {
  std::string name;
  int (*run)(const Arguments&) = nullptr;
};
const std::vector<EngineVerb>& engine_verbs();

}  // namespace fathom
