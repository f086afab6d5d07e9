#pragma once

#include <optional>

#include "fathom/config/command_line.h"
#include "fathom/study/asked/model_choice.h"

namespace fathom {

// Nothing: help was printed.
std::optional<ModelChoice> parse_headless(const Arguments& arguments);

}  // namespace fathom
