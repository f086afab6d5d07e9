#include "fathom/cli/plan/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {

Verb verb_plan() {
  return {"plan", "what a training plan would do, and what is wrong with it", 45, run_plan};
}

}  // namespace fathom
