// What every layer of a model would say at the end of a text: the table that the wiring notebook
// prints while it samples. Torch-free: the numbers, and the report.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fathom/report/report.h"

namespace fathom {

struct GuessTable {
  struct Guess {
    int64_t token = 0;  // the likeliest
    std::string text;
    double p = 0;
  };
  struct Layer {
    std::string name;            // "0", in loops "1@0.2"; of the last row "scores"
    std::vector<Guess> guesses;  // at each place; empty: nothing can read this layer's stream
    bool own = false;            // by a readout of its own, not the last one's
  };
  std::vector<std::string> seen;  // the text's last tokens, one a place
  std::vector<Layer> layers;      // in the order of the walk, and the model's scores once more
};

// A table of it, below `title`, for people.
void add_guesses(const GuessTable& table, const std::string& title, report::Report& report);
nlohmann::json guess_numbers(const GuessTable& table);

}  // namespace fathom
