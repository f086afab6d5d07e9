// Which layers share a module, as it is typed.
#pragma once

#include <string>

#include "fathom/model/spec/wiring_config.h"

namespace fathom {

const char* class_name(ModuleClass which);  // "attention", "MLP", "norms"

// The key that decides: share_attn, or share where that is not given; and its value as typed.
const char* sharing_key(const WiringConfig& config, ModuleClass which);
std::string shown_sharing(const WiringConfig& config, ModuleClass which);

}  // namespace fathom
