// What `describe`, a run's first lines and its checkpoints say of how blocks are made.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "fathom/model/spec/model_config.h"

namespace fathom {

// In words, a line each: what it is about, and what is said of it. Of the plan, so of an
// experiment's blocks too.
std::vector<std::pair<std::string, std::string>> wiring_lines(const ModelConfig& config);
// The same as one object.
nlohmann::json wiring_json(const ModelConfig& config);

// {"canonical": "r = r + A(n)", "hash": "..."} of the wiring that was given; null: none was.
nlohmann::json given_wiring_json(const ModelConfig& config);
// "wiring r = r + A(n) (hash)"; empty: none was given.
std::string given_wiring_line(const ModelConfig& config);

// Two texts of the same canonical form.
bool is_same_wiring(const std::string& a, const std::string& b);

}  // namespace fathom
