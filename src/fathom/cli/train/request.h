// `fathom train EXPERIMENT [config files] [--key=value ...]`
#pragma once

#include <optional>

#include "fathom/config/command_line.h"
#include "fathom/train/recipe/run_request.h"

namespace fathom {

// Everything that can be wrong before a tensor is made is found here. Nothing: help was printed.
// `first_goes_on`: whether rank 0 goes on with the run, where it has said that.
std::optional<TrainRequest> parse_train(const Arguments& arguments,
                                        std::optional<bool> first_goes_on = {});

}  // namespace fathom
