// What `fathom list` says: every experiment and its presets.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace fathom {

void print_presets();  // to standard output
nlohmann::json presets_json();

}  // namespace fathom
