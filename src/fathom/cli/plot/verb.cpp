#include "fathom/cli/plot/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {
namespace {

int run_plot(const Arguments& arguments) {
  const auto request = parse_plot(arguments);
  if (request) give(plot_runs(*request), request->output);
  return 0;
}

}  // namespace

Verb verb_plot() {
  return {"plot", "curves of runs in one picture", 95, run_plot};
}

}  // namespace fathom
