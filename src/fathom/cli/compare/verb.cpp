#include "fathom/cli/compare/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {
namespace {

int run_compare(const Arguments& arguments) {
  const auto request = parse_compare(arguments);
  if (request) give(compare_runs(*request), request->output);
  return 0;
}

}  // namespace

Verb verb_compare() {
  return {"compare", "runs side by side, and whether they differ", 96, run_compare};
}

}  // namespace fathom
