// What stands at a path or behind a name that was given as something else: as a config file, an
// experiment, a run.
#pragma once

#include <optional>
#include <string>

namespace fathom {

struct GivenInstead {
  std::string what;    // "a text"
  std::string data;    // what `dataset` is to be for it; empty: it is no data
  std::string remedy;  // what else to do with it; empty: nothing is known
  bool is_text = false;

  // What to do where an experiment or a run is expected.
  std::string hint() const;
};

// Prepared or generated data, or a folder of token files.
bool is_data(const std::string& word);

// Data, token files, a text, JSON, or other bytes that no config file has. Nothing: nothing is
// there, another folder, a pipe, or what may be a config file, by its ending or its lines. Throws
// SystemError for a file that cannot be read.
std::optional<GivenInstead> given_instead(const std::string& word);

}  // namespace fathom
