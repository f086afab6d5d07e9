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

// What becomes of weights that are taken by their names from a model of one wiring into one of
// another.
enum class WeightsBetween {
  kSame,       // both compute the same of them, or an experiment's code says what they do
  kOther,      // another block
  kExchanged,  // the same block, whose parts have each other's numbers
};
WeightsBetween compare_wirings(const ModelConfig& from, const ModelConfig& to);
// "r = r + A(n)" as the configuration says it; a style that is no formula, by its name.
std::string block_text(const ModelConfig& config);

// Two texts of the same canonical form.
bool is_same_wiring(const std::string& a, const std::string& b);

}  // namespace fathom
