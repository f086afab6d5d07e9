#pragma once

#include <optional>

#include "fathom/cli/model_choice.h"
#include "fathom/config/command_line.h"

namespace fathom {

// Nothing: help was printed.
std::optional<ModelChoice> parse_headless(const Arguments& arguments);

}  // namespace fathom
