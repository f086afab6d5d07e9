// Config files, read into and written from a FieldList.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "fathom/config/fields.h"

namespace fathom {

inline constexpr size_t kMaxConfigBytes = 1 << 20;

// Reads a config file into `fields`. Two forms, told apart by the name's ending:
//   .py          nanoGPT's lines of `key = literal` with # comments; anything else is refused;
//   all others   TOML: `n_layer = 6` at the top level or under its `[section]`; "none" is None.
// Lines end with \n, \r\n or \r, and a byte order mark is passed over; a file that sets nothing is
// worth a notice.
// Errors carry file and line. Throws Error(kUsage), or Error(kFailure) if it cannot be read.
void read_config_file(const std::string& path, FieldList& fields);
void read_config_text(const std::string& text, const std::string& name, FieldList& fields);

// A TOML file of another shape, as the tree that it is: tables are objects in the order of the
// file. `name` is for errors, which are as above; dates are refused.
nlohmann::ordered_json read_toml_tree(const std::string& text, const std::string& name);

// All fields as TOML, by section, in list order. read_config_text() of it restores every value.
std::string to_toml(const FieldList& fields);

}  // namespace fathom
