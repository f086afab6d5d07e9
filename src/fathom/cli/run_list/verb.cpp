#include "fathom/cli/run_list/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {
namespace {

int run_runs(const Arguments& arguments) {
  const auto request = parse_runs(arguments);
  if (request) give(list_runs(*request), request->output);
  return 0;
}

}  // namespace

Verb verb_run_list() {
  return {"runs", "what runs there are, and how they went", 52, run_runs};
}

}  // namespace fathom
