// `fathom doctor`: what fathom itself sees comes first, for the engine may not even start.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/cli/verbs.h"
#include "fathom/io/json_text.h"
#include "fathom/machine/readings.h"

namespace fathom {
namespace {

int run_doctor(const Arguments& arguments) {
  CommandLine line(
      "doctor", "[--json]",
      "What this machine and build are, and what keeps fathom from its best. Exit code "
      "0: nothing is wrong.",
      "fathom doctor");
  bool json = false;
  FieldList fields;
  fields.section("output");
  fields.add("json", json, "print one JSON object");
  if (!parse_into(line, arguments, fields)) return 0;

  const Machine machine = read_machine();
  const ThreadChoice wanted = choose_threads(0, thread_limits());
  std::vector<Check> checks = machine_checks(machine, wanted);
  if (!json) print_checks(checks);
  const std::vector<Check> more = engine_checks(machine.allowed, wanted);
  if (!json) print_checks(more);
  checks.insert(checks.end(), more.begin(), more.end());
  const int wrong = count_wrong(checks);
  if (json)
    fmt::print("{}\n", json_text(to_json(checks), 2));
  else if (wrong == 0)
    fmt::print("\nNothing is wrong.\n");
  else
    fmt::print("\n{} wrong.\n", wrong == 1 ? "1 thing is" : fmt::format("{} things are", wrong));
  return wrong == 0 ? 0 : 1;
}

}  // namespace

Verb verb_doctor() {
  return {"doctor", "whether this machine and this build are fit for the work", 30, run_doctor};
}

}  // namespace fathom
