// `fathom train EXPERIMENT [config files] [--key=value ...]`
#pragma once

#include <optional>

#include "fathom/config/command_line.h"
#include "fathom/train/recipe/run_request.h"

namespace fathom {

// Everything that can be wrong before a tensor is made is found here. Nothing: help was printed.
std::optional<TrainRequest> parse_train(const Arguments& arguments);
// The same where rank 0 has said whether the run goes on; nothing: it has not.
std::optional<TrainRequest> parse_train_of_rank(const Arguments& arguments,
                                                std::optional<bool> first_goes_on);

}  // namespace fathom
