#include <fmt/format.h>

#include "fathom/base/stop_signal.h"
#include "fathom/cli/sweep/request.h"
#include "fathom/cli/train/request.h"
#include "fathom/cli/verbs.h"
#include "fathom/study/many_runs/run_sweep.h"
#include "fathom/track/console.h"

namespace fathom {

std::optional<SweepRequest> parse_sweep(const Arguments& arguments) {
  CommandLine line(
      "sweep", "RECIPE [--key=value ...]",
      "Settings times seeds: trains what the recipe lists, one run after the other, and goes on "
      "where it was interrupted. All runs are checked before the first one starts. A recipe:\n\n"
      "  preset = \"quickstart\"\n"
      "  seeds = [1, 2, 3]\n"
      "  budget = {steps = 500}     # or epochs, samples, tokens, minutes\n"
      "  [base]                     # what holds for every run\n"
      "  dropout = 0.1\n"
      "  [grid]                     # every combination; [[settings]] lists them\n"
      "  n_layer = [2, 4]\n\n"
      "In place of a budget it may have plan = \"FILE\", or the [[stages]] of one. It is kept as "
      "runs/NAME.toml, and `fathom compare NAME` compares its runs.",
      "fathom sweep width.toml --dry_run");
  SweepRequest request;
  line.positional("RECIPE", request.recipe_file,
                  "a TOML file, or the name of a sweep that was begun");
  FieldList list;
  list.section("sweep");
  list.add("dry_run", request.dry_run, "check all, say what would be done, and do nothing");
  list.add("jobs", request.jobs, "runs at a time, which share the threads").at_least(1).at_most(64);
  list.add("quiet", request.quiet, "no progress of the runs, only their outcomes");
  if (!parse_into(line, arguments, list)) return std::nullopt;
  return request;
}

namespace {

int sweep(const Arguments& arguments) {
  const auto request = parse_sweep(arguments);
  if (!request) return 0;
  const SweepPlan plan = plan_sweep(request->recipe_file, parse_train);
  if (request->dry_run) {
    fmt::print("{}", described(plan));
    return 0;
  }
  keep_sweep(plan);
  console_is_only_watched();
  // To the end of the process: a signal that comes while it leaves must not change how it ended.
  [[maybe_unused]] static const auto* const signal = new StopSignal;
  return run_sweep(plan, {request->jobs, request->quiet});
}

}  // namespace

Verb verb_sweep() {
  return {"sweep", "settings times seeds, run after run", 55, sweep};
}

}  // namespace fathom
