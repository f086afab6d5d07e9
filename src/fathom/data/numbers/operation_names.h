// Lists of operations' names, told to who writes one that is none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/numbers/program.h"

namespace fathom {

// As operations_named() of program.h; the names that a mistake is told are those that texts write
// down.
std::vector<Operation> operations_named_for_texts(std::string_view list);

}  // namespace fathom
