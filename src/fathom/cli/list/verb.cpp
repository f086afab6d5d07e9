// `fathom list`
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/cli/verbs.h"
#include "fathom/io/json_text.h"
#include "fathom/train/recipe/preset_list.h"

namespace fathom {
namespace {

int run_list(const Arguments& arguments) {
  CommandLine line("list", "[--json]", "Every experiment and its presets.", "fathom list");
  bool json = false;
  FieldList fields;
  fields.section("output");
  fields.add("json", json, "print one JSON list");
  if (!parse_into(line, arguments, fields)) return 0;
  if (json)
    fmt::print("{}\n", json_text(presets_json(), 2));
  else
    print_presets();
  return 0;
}

}  // namespace

Verb verb_list() {
  return {"list", "every experiment and its presets", 10, run_list};
}

}  // namespace fathom
