// `fathom import FOLDER`
#pragma once

#include <optional>

#include "fathom/config/command_line.h"
#include "fathom/exchange/imported_run.h"

namespace fathom {

// Nothing: help was printed.
std::optional<ImportRequest> parse_import(const Arguments& arguments);

}  // namespace fathom
