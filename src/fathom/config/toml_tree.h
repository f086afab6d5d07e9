// TOML as a tree, for files that are more than keys and values.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace fathom {

// Tables and lists in the order of the file, texts as they are. Throws Error(kUsage) for what is
// not TOML, for dates and times, and for a text beyond kMaxConfigBytes. `name`: of the file, for
// errors; `hint`: what such a file is.
nlohmann::ordered_json toml_tree(std::string_view text, const std::string& name,
                                 const std::string& hint);

// Of a config file (config_file.h): every key, whatever its section, with its value as a literal.
// No key is unknown here, so also files of other versions can be set beside one another. Throws as
// toml_tree().
std::map<std::string, std::string> settings_of(std::string_view text, const std::string& name);

}  // namespace fathom
