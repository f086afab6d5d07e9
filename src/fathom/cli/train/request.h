// `fathom train EXPERIMENT [config files] [--key=value ...]`
#pragma once

#include <optional>

#include "fathom/config/command_line.h"
#include "fathom/train/recipe/run_request.h"

namespace fathom {

// Everything that can be wrong before a tensor is made is found here. Nothing: help was printed.
std::optional<TrainRequest> parse_train(const Arguments& arguments);

}  // namespace fathom
