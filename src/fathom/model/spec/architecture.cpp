#include "fathom/model/spec/architecture.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {

void check_own_settings(FieldList& list, const Architecture& architecture) {
  const auto refuse = [&](const Field& field, const std::string& why) {
    fail(fmt::format("the experiment {} adds the setting {}, {}", architecture.name,
                     in_quotes(field.name()), why),
         "its add_fields in presets.cpp has to be mended");
  };
  for (const Field& field : list.all()) {
    if (field.section() != architecture.name) continue;
    const std::string& name = field.name();
    if (name.empty() ||
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos)
      refuse(field, "names are of a-z, 0-9 and _");
    bool taken = name == "preset" || name == "architecture" || list.find(name) != &field;
    for (const ForeignKey& foreign : list.foreign_keys()) taken = taken || foreign.name == name;
    for (const Field& other : list.all())
      for (const std::string& alias : other.aliases()) taken = taken || alias == name;
    if (taken) refuse(field, "a name that is taken");
    Field copy = field;
    try {
      copy.assign(field.value(), "its own value");
    } catch (const Error& e) {
      refuse(field, e.what());
    }
  }
}

}  // namespace fathom
