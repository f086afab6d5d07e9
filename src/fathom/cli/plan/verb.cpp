#include "fathom/cli/plan/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {

Verb verb_plan() {
  Verb verb;
  verb.name = "plan";
  verb.summary = "what a training plan would do, and what is wrong with it";
  verb.run = run_plan;
  return verb;
}

}  // namespace fathom
