// What the words of several verbs may be, for the shells' completion: by CommandLine::suggests()
// and Field::suggests().
#pragma once

#include <vector>

#include "fathom/config/fields.h"

namespace fathom {

std::vector<Suggestion> suggested_presets();
std::vector<Suggestion> suggested_runs();     // newest first
std::vector<Suggestion> suggested_corpora();  // that are prepared
std::vector<Suggestion> suggested_checkpoints();
std::vector<Suggestion> suggested_plans();  // that are built in
std::vector<Suggestion> suggested_devices();

}  // namespace fathom
