// `fathom doctor`: what fathom itself sees comes first, for the engine may not even start.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "fathom/base/visible.h"
#include "fathom/cli/verbs.h"
#include "fathom/io/json_text.h"
#include "fathom/machine/readings.h"
#include "fathom/track/terminal.h"

namespace fathom {
namespace {

void print(const std::vector<Check>& checks, const Style& style) {
  const int width = terminal_width(stdout);
  for (const Check& check : checks) {
    const std::string word = fmt::format("{:<6}", verdict_name(check.verdict));
    fmt::print("{} {:<21}{}\n",
               check.verdict == Verdict::kOk     ? style.green(word)
               : check.verdict == Verdict::kNote ? style.yellow(word)
                                                 : style.red(word),
               check.name, hanging(visible(check.value), 28, width));
    if (!check.hint.empty())
      fmt::print("       {} {}\n", style.yellow("HINT:"), hanging(visible(check.hint), 13, width));
  }
  std::fflush(stdout);
}

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

  const Style style(stdout);
  const Machine machine = read_machine();
  const ThreadChoice wanted = choose_threads(0, thread_limits());
  std::vector<Check> checks = machine_checks(machine, wanted);
  if (!json) print(checks, style);
  const std::vector<Check> more = engine_checks(machine.allowed, wanted);
  if (!json) print(more, style);
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
