// `fathom sweep RECIPE`
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fathom/config/command_line.h"

namespace fathom {

struct SweepRequest {
  std::string recipe_file;
  bool dry_run = false;
  bool quiet = false;
  int64_t jobs = 1;
};
// Nothing: help was printed.
std::optional<SweepRequest> parse_sweep(const Arguments& arguments);

}  // namespace fathom
