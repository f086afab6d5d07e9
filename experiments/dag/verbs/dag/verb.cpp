#include "fathom/cli/verbs.h"

#include "experiments/dag/verbs/dag/request.h"

namespace fathom {

Verb verb_dag() {
  Verb verb{"dag", "the program that each token of a text chose", 84};
  verb.check = [](const Arguments& a) { return dag::parse_dag(a).has_value(); };
  return verb;
}

}  // namespace fathom
