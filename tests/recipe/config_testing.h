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

inline Resolved resolved(const std::string& preset, const Settings& settings = {}) {
  Resolved r;
  r.config = preset_config(preset);
  FieldList list;
  add_fields(list, r.config);
  for (const auto& [key, text] : settings) list.set_text(key, text, "--" + key);
  r.notices = resolve(list, r.config);
  return r;
}

}  // namespace fathom::testing
