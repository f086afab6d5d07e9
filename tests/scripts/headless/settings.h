// What presets and verb of this folder share. Torch-free.
#pragma once

#include <string>

namespace fathom {

std::string answer_of_headless();

}  // namespace fathom
