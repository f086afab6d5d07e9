// `fathom import FOLDER`
#pragma once

#include <optional>
#include <string>

#include "fathom/config/command_line.h"

namespace fathom {

struct ImportRequest {
  std::string folder;    // in Hugging Face's layout
  std::string run_name;  // settled
  std::string exp = "gpt2";
  std::string dataset;  // empty: none
  bool force = false;
};

// Nothing: help was printed.
std::optional<ImportRequest> parse_import(const Arguments& arguments);

}  // namespace fathom
