// `fathom list`
#pragma once

#include "fathom/config/command_line.h"

namespace fathom {

int run_list(const Arguments& arguments);

}  // namespace fathom
