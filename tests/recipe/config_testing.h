// A preset with settings as typed, resolved.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/config_testing.h"
#include "fathom/train/recipe/registry.h"

namespace fathom::testing {

using Settings = std::vector<std::pair<std::string, std::string>>;

struct Resolved {
  RunConfig config;
  std::vector<std::string> notices;
};

// `of_file`: what a configuration file says before.
inline Resolved resolved(const std::string& preset, const Settings& settings = {},
                         const Settings& of_file = {}) {
  Resolved r;
  r.config = preset_config(preset);
  FieldList list;
  add_fields(list, r.config);
  for (const auto& [key, text] : of_file) list.set_text(key, text, "file.toml:1");
  for (const auto& [key, text] : settings) list.set_text(key, text, "--" + key);
  r.notices = resolve(list, r.config);
  return r;
}

}  // namespace fathom::testing
