// `fathom generate RUN`
#pragma once

#include <optional>

#include "fathom/config/command_line.h"
#include "fathom/study/asked/generate_request.h"

namespace fathom {

// Nothing: help was printed.
std::optional<GenerateRequest> parse_generate(const Arguments& arguments);

}  // namespace fathom
